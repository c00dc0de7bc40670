//! How the arms of a study differ, user by user.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;
use tastemaker_core::SeedTree;
use tastemaker_eval::metrics::AnyMetric;
use tastemaker_eval::significance::{Comparison, benjamini_hochberg, holm};

use super::{ArmReport, Report};
use crate::Result;
use crate::study::{RunFolder, Study, UserValues};

/// Bootstrap samples, and random signs, of a comparison.
const RESAMPLES: usize = 10_000;

/// Classes of differences in a histogram; the one in the middle is around 0.
pub const CLASSES: usize = 21;

/// How arms differ from one of them in a metric; the tests of all of them are a family.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Family {
    /// The metric, over the test targets.
    pub metric: String,
    /// The arm with which the others are compared: the one with the best mean over the validation
    /// targets, of equal ones the first.
    pub against: String,
    /// The others.
    pub arms: Vec<Compared>,
}

/// How an arm differs from another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// The arm.
    pub arm: String,
    /// The arm's values, minus the other's.
    pub comparison: Comparison,
    /// p of the randomisation test, corrected by Holm over the family.
    pub holm: f64,
    /// The same by Benjamini and Hochberg.
    pub benjamini_hochberg: f64,
    /// Users whose value differs by an amount of each of [`CLASSES`] classes of equal width from −1 to 1;
    /// empty of a metric that can be larger.
    pub histogram: Vec<usize>,
}

/// The values of an arm's users, averaged over its seeds: what differs between seeds is not what differs
/// between users.
pub(super) struct Averages {
    /// For each user, by outside id, the place of its values.
    users: BTreeMap<String, usize>,
    metrics: Vec<(String, Vec<f64>)>,
}

impl Averages {
    /// Reads the runs of an arm.
    pub(super) fn of(arm: &ArmReport, labels: &[String]) -> Result<Self> {
        let runs: Vec<UserValues> = arm
            .folders
            .iter()
            .map(|folder| RunFolder::open(folder)?.user_values())
            .collect::<Result<_>>()?;
        let mut users = BTreeMap::new();
        for run in &runs {
            for user in &run.users {
                let next = users.len();
                users.entry(user.clone()).or_insert(next);
            }
        }
        let mean = |label: &String| {
            let (mut sums, mut n) = (vec![0.0; users.len()], vec![0.0; users.len()]);
            for run in &runs {
                for (user, value) in run.users.iter().zip(run.of(label)?) {
                    sums[users[user]] += value;
                    n[users[user]] += 1.0;
                }
            }
            let means = sums.iter().zip(&n).map(|(sum, n)| sum / n).collect();
            Some((label.clone(), means))
        };
        let metrics = labels.iter().filter_map(mean).collect();
        Ok(Self { users, metrics })
    }

    fn metric(&self, label: &str) -> Option<&[f64]> {
        self.metrics.iter().find(|(known, _)| known == label).map(|(_, values)| &values[..])
    }

    /// The value of each user in a metric of single lists.
    pub(super) fn values(&self, label: &str) -> Option<impl Iterator<Item = (&str, f64)>> {
        let values = self.metric(label)?;
        Some(self.users.iter().map(|(user, &place)| (&user[..], values[place])))
    }

    /// The mean of a metric ± 1.96 standard errors.
    pub(super) fn interval(&self, label: &str) -> Option<[f64; 2]> {
        let values = self.metric(label)?;
        let mean = super::mean(values);
        let half = 1.96 * super::deviation(values)? / (values.len() as f64).sqrt();
        Some([mean - half, mean + half])
    }

    /// The values of both in a metric, of the users that both have.
    fn beside(&self, other: &Self, label: &str) -> Option<(Vec<f64>, Vec<f64>)> {
        let theirs = other.metric(label)?;
        let own = self.values(label)?;
        Some(own.filter_map(|(user, own)| Some((own, theirs[*other.users.get(user)?]))).unzip())
    }
}

/// Compares the arms of a study in each metric of single users with the best one.
pub(super) fn families(study: &Study, report: &Report, averages: &[Averages]) -> Vec<Family> {
    let Some(first) = report.arms.first().filter(|_| report.arms.len() > 1) else { return vec![] };
    let metrics = first.validation.iter().zip(&study.evaluate.metrics).enumerate();
    let family = |(i, (cell, metric)): (usize, (&super::Cell, &AnyMetric))| {
        let sign = metric.as_dyn().better().sign();
        let good = |arm: usize| {
            report.arms[arm].validation.get(i).map_or(f64::NEG_INFINITY, |cell| sign * cell.mean)
        };
        let arms = 0..report.arms.len();
        let best = arms.clone().reduce(|a, b| if good(b) > good(a) { b } else { a })?;
        averages[best].metric(&cell.metric)?;
        let others: Vec<usize> = arms.filter(|&arm| arm != best).collect();
        let compared = others.into_par_iter().filter_map(|arm| {
            let (a, b) = averages[arm].beside(&averages[best], &cell.metric)?;
            let name = &report.arms[arm].arm;
            let seeds = SeedTree::new(0).child(&cell.metric).child(name);
            let comparison = Comparison::new(&a, &b, RESAMPLES, &seeds)?;
            let histogram = histogram(metric, &a, &b);
            Some((name.clone(), comparison, histogram))
        });
        let compared: Vec<(String, Comparison, Vec<usize>)> = compared.collect();
        Some(corrected(cell.metric.clone(), report.arms[best].arm.clone(), compared))
    };
    metrics.filter_map(family).collect()
}

fn corrected(
    metric: String,
    against: String,
    compared: Vec<(String, Comparison, Vec<usize>)>,
) -> Family {
    let p: Vec<f64> = compared.iter().map(|(_, comparison, _)| comparison.randomisation).collect();
    let corrections = holm(&p).into_iter().zip(benjamini_hochberg(&p));
    let arms = compared.into_iter().zip(corrections);
    let arms = arms.map(|((arm, comparison, histogram), (holm, benjamini_hochberg))| Compared {
        arm,
        comparison,
        holm,
        benjamini_hochberg,
        histogram,
    });
    Family { metric, against, arms: arms.collect() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 20")]
fn histogram(metric: &AnyMetric, a: &[f64], b: &[f64]) -> Vec<usize> {
    if metric.as_dyn().range() != (0.0, 1.0) {
        return vec![];
    }
    let mut classes = vec![0; CLASSES];
    for (a, b) in a.iter().zip(b) {
        let place = f64::midpoint(a - b, 1.0) * CLASSES as f64;
        classes[(place as usize).min(CLASSES - 1)] += 1;
    }
    classes
}
