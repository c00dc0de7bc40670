//! What a study says: as data, and as pages and tables made from it.

use std::path::PathBuf;

use serde::Serialize;
use tastemaker_core::splits::SplitSummary;
use tastemaker_eval::Summary;
use tastemaker_eval::metrics::Better;

use crate::Result;
use crate::hygiene::{Finding, Subject, inspect};
use crate::paradigms::PRETRAINING;
use crate::search::{Searched, read};
use crate::study::{RunFolder, RunResult, study_folder};
use crate::train::StageCost;

mod audits;
mod cards;
mod charts;
mod comparing;
mod curves;
mod groups;
mod interviews;
mod pages;

pub use audits::{audit_html, audit_json, audit_markdown, read_audits};
pub(crate) use cards::cards;
pub use cards::{Card, Field, open_fields};
pub use comparing::{CLASSES, Compared, Family};
pub use curves::{Curve, Point};
pub use groups::{Group, Grouping};
pub use interviews::{Answered, questionnaire, read_answers};
pub use pages::{html, json, latex, markdown};

use comparing::Averages;

/// What a study says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The study's name, with that of its regime where it has one.
    pub study: String,
    /// The version of tastemaker that made the runs, and this.
    pub tastemaker: String,
    /// The data set's name.
    pub data: String,
    /// SHA-256 of the data.
    pub data_hash: String,
    /// The split: its hash, its counts.
    pub split: SplitSummary,
    /// How the numbers were made, in a sentence.
    pub protocol: String,
    /// The metrics, in the order of an arm's values.
    pub metrics: Vec<MetricReport>,
    /// One entry an arm.
    pub arms: Vec<ArmReport>,
    /// What can make the numbers say something else than they seem to.
    pub hygiene: Vec<Finding>,
    /// How the arms differ, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Family>,
    /// How they do for groups of users, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Grouping>,
    /// The study as it was run, as TOML.
    pub resolved: String,
}

/// What a metric is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricReport {
    /// Its label.
    pub metric: String,
    /// Whether larger values are better.
    pub higher_is_better: bool,
    /// Whether it tells how well targets are foretold.
    pub accuracy: bool,
    /// What it is, in a line.
    pub about: &'static str,
}

/// What a study says about an arm.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ArmReport {
    /// The arm's name.
    pub arm: String,
    /// The recommender's name.
    pub recommender: String,
    /// The seeds, in the order of the values below.
    pub seeds: Vec<u64>,
    /// The folders of the runs.
    pub folders: Vec<PathBuf>,
    /// The metrics over the validation targets.
    pub validation: Vec<Cell>,
    /// The metrics over the test targets.
    pub test: Vec<Cell>,
    /// What a run took, a mean over the seeds; `None` where it was not measured.
    pub costs: Option<Costs>,
    /// How it learnt, a curve a seed and stage; empty of what has no epochs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// How its settings were searched for, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched: Option<Searched>,
}

/// What a run took, a mean over the seeds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Costs {
    /// How many numbers learnt in the stage after pre-training in which most did.
    pub trained_parameters: usize,
    /// Passes over what is learnt from, pre-training left out; `None` where they are not counted.
    pub epochs: Option<f64>,
    /// Passes of the pre-training, 0 where there was none.
    pub pretraining_epochs: Option<f64>,
    /// Seconds by the clock, pre-training left out.
    pub seconds: f64,
    /// Seconds of all processors together, pre-training left out.
    pub cpu_seconds: f64,
    /// Seconds by the clock of the pre-training, which arms may share.
    pub pretraining_seconds: f64,
    /// Seconds of all processors together of the pre-training.
    pub pretraining_cpu_seconds: f64,
    /// Floating-point operations of the matrix products, pre-training too; 0 where a library made them.
    pub operations: f64,
    /// Energy in watt-hours by [`Cost::watt_hours`](crate::train::Cost::watt_hours), pre-training too.
    pub watt_hours: f64,
    /// The most memory at once, in bytes, pre-training left out.
    pub peak_memory: u64,
    /// The most memory at once in the pre-training, in bytes.
    pub pretraining_peak_memory: u64,
}

impl Costs {
    fn mean(runs: &[Vec<StageCost>]) -> Option<Self> {
        if runs.iter().any(Vec::is_empty) {
            return None;
        }
        let is_before = |stage: &&StageCost| stage.stage == PRETRAINING;
        let of = |part: fn(&StageCost) -> f64, before: bool| {
            let total = |run: &Vec<StageCost>| -> f64 {
                run.iter().filter(|stage| is_before(stage) == before).map(part).sum()
            };
            // The sum of nothing is −0.
            mean(&runs.iter().map(total).collect::<Vec<f64>>()) + 0.0
        };
        let both = |part: fn(&StageCost) -> f64| of(part, false) + of(part, true);
        let epochs = |before: bool| {
            let of = |run: &Vec<StageCost>| -> Option<f64> {
                let stages = run.iter().filter(|stage| is_before(stage) == before);
                let epochs: Option<usize> = stages.map(|stage| stage.epochs).sum();
                Some(epochs? as f64)
            };
            runs.iter().map(of).collect::<Option<Vec<f64>>>().map(|epochs| mean(&epochs))
        };
        let stages = |before: bool| runs.iter().flatten().filter(move |s| is_before(s) == before);
        let peak = |before| stages(before).map(|stage| stage.cost.peak_memory).max().unwrap_or(0);
        let trained = stages(false).map(|stage| stage.trained_parameters).max();
        Some(Self {
            trained_parameters: trained.unwrap_or(0),
            epochs: epochs(false),
            pretraining_epochs: epochs(true),
            seconds: of(|stage| stage.cost.seconds, false),
            cpu_seconds: of(|stage| stage.cost.cpu_seconds, false),
            pretraining_seconds: of(|stage| stage.cost.seconds, true),
            pretraining_cpu_seconds: of(|stage| stage.cost.cpu_seconds, true),
            operations: both(|stage| stage.cost.operations as f64),
            watt_hours: both(|stage| stage.cost.watt_hours()),
            peak_memory: peak(false),
            pretraining_peak_memory: peak(true),
        })
    }
}

/// A metric over the seeds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// The metric, with its cut-off and protocol.
    pub metric: String,
    /// Mean over seeds.
    pub mean: f64,
    /// Standard deviation over seeds (n − 1); `None` of one seed.
    pub deviation: Option<f64>,
    /// The value of each seed.
    pub values: Vec<f64>,
    /// Its 95 % interval over users, each user's values averaged over the seeds, by the normal
    /// distribution within the metric's range; `None` where arms were not compared, and of metrics of all lists together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Report {
    /// What the runs of a study say that have ended, without comparisons.
    ///
    /// # Panics
    /// If none has ended.
    pub(crate) fn new(subject: &Subject<'_>, out: &std::path::Path) -> Result<Self> {
        let Subject { study, data, split, results } = *subject;
        let arms = results.chunk_by(|a, b| a.0.arm == b.0.arm);
        let metric = |value: &tastemaker_eval::Value,
                      metric: &tastemaker_eval::metrics::AnyMetric| {
            let entries = tastemaker_eval::metrics::AnyMetric::ENTRIES.iter();
            MetricReport {
                metric: value.metric.clone(),
                higher_is_better: metric.as_dyn().better() == Better::Higher,
                accuracy: metric.is_of_accuracy(),
                about: entries
                    .into_iter()
                    .find(|e| e.name == metric.name())
                    .map_or("", |e| e.summary),
            }
        };
        let first = &results[0].0.test;
        let metrics = first.metrics.iter().zip(&study.evaluate.metrics);
        let metrics: Vec<MetricReport> = metrics.map(|(value, m)| metric(value, m)).collect();
        let searches = study_folder(out, study).join("search");
        Ok(Self {
            study: study.study.title(),
            tastemaker: env!("CARGO_PKG_VERSION").to_owned(),
            data: data.dataset.name.clone(),
            data_hash: data.dataset.hash.clone(),
            split: split.summary(&data.dataset),
            protocol: first.protocol.clone(),
            metrics,
            arms: arms.map(|runs| ArmReport::new(runs, &searches)).collect::<Result<_>>()?,
            hygiene: inspect(subject),
            comparisons: vec![],
            groups: vec![],
            resolved: study.to_toml()?,
        })
    }

    /// Adds how the arms differ, user by user, and how they do for groups of users.
    pub(crate) fn compare(&mut self, subject: &Subject<'_>) -> Result<()> {
        let labels: Vec<String> = self.metrics.iter().map(|m| m.metric.clone()).collect();
        let averages: Vec<Averages> =
            self.arms.iter().map(|arm| Averages::of(arm, &labels)).collect::<Result<_>>()?;
        for (arm, averages) in self.arms.iter_mut().zip(&averages) {
            for (cell, metric) in arm.test.iter_mut().zip(&subject.study.evaluate.metrics) {
                let (least, most) = metric.as_dyn().range();
                let interval = averages.interval(&cell.metric);
                cell.interval = interval.map(|ends| ends.map(|end| end.clamp(least, most)));
            }
        }
        self.comparisons = comparing::families(subject.study, self, &averages);
        self.groups = groups::groupings(subject, self.main_metric(), &averages);
        Ok(())
    }

    /// The metric that is told first: NDCG where there is one, else the first.
    pub fn main_metric(&self) -> &str {
        let mut ndcg = self.metrics.iter().filter(|m| m.metric.starts_with("NDCG"));
        ndcg.next_back().or(self.metrics.first()).map_or("", |metric| &metric.metric)
    }
}

impl ArmReport {
    /// The value of a metric over the test targets.
    pub fn cell(&self, metric: &str) -> Option<&Cell> {
        self.test.iter().find(|cell| cell.metric == metric)
    }

    fn new(runs: &[(RunResult, RunFolder)], searches: &std::path::Path) -> Result<Self> {
        let first = &runs[0].0;
        let costs: Vec<Vec<StageCost>> =
            runs.iter().map(|(_, folder)| folder.costs()).collect::<Result<_>>()?;
        Ok(Self {
            arm: first.arm.clone(),
            recommender: first.recommender.clone(),
            seeds: runs.iter().map(|(run, _)| run.seed).collect(),
            folders: runs.iter().map(|(_, folder)| folder.path().to_owned()).collect(),
            validation: cells(runs, |run| &run.validation),
            test: cells(runs, |run| &run.test),
            costs: Costs::mean(&costs),
            curves: curves::of(runs)?,
            searched: read(&searches.join(&first.arm))?,
        })
    }
}

fn cells(runs: &[(RunResult, RunFolder)], of: impl Fn(&RunResult) -> &Summary) -> Vec<Cell> {
    let cell = |(i, first): (usize, &tastemaker_eval::Value)| {
        let values: Vec<f64> = runs.iter().map(|(run, _)| of(run).metrics[i].mean).collect();
        Cell {
            metric: first.metric.clone(),
            mean: mean(&values),
            deviation: deviation(&values),
            values,
            interval: None,
        }
    };
    of(&runs[0].0).metrics.iter().enumerate().map(cell).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}
