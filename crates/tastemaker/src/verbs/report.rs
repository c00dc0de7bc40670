//! What a study says, as data.

use std::path::PathBuf;

use serde::Serialize;
use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::{SplitSets, SplitSummary};
use tastemaker_eval::Summary;

use super::Family;
use crate::Result;
use crate::paradigms::PRETRAINING;
use crate::study::{RunFolder, RunResult, Study};
use crate::train::StageCost;

/// What a study says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The study's name.
    pub study: String,
    /// The data set's name.
    pub data: String,
    /// SHA-256 of the data.
    pub data_hash: String,
    /// The split: its hash, its counts.
    pub split: SplitSummary,
    /// How the numbers were made, in a sentence.
    pub protocol: String,
    /// One entry an arm.
    pub arms: Vec<ArmReport>,
    /// How the arms differ, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Family>,
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
}

impl Report {
    pub(super) fn new(
        study: &Study,
        (data, split): (&Prepared, &SplitSets),
        results: &[(RunResult, RunFolder)],
    ) -> Result<Self> {
        let protocol =
            results.first().map(|(result, _)| result.test.protocol.clone()).unwrap_or_default();
        let arms = results.chunk_by(|a, b| a.0.arm == b.0.arm);
        Ok(Self {
            study: study.study.name.clone(),
            data: data.dataset.name.clone(),
            data_hash: data.dataset.hash.clone(),
            split: split.summary(&data.dataset),
            protocol,
            arms: arms.map(ArmReport::new).collect::<Result<_>>()?,
            comparisons: vec![],
        })
    }
}

impl ArmReport {
    fn new(runs: &[(RunResult, RunFolder)]) -> Result<Self> {
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
