//! What grows while lists come in, a block of users after the other.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rayon::prelude::*;
use tastemaker_core::splits::EvalCase;
use tastemaker_core::{Error, RankedList, Result, UserId};

use crate::metrics::AnyMetric;
use crate::{About, Evaluation, PerUser, Summary, Value};

/// Users whose lists are in memory together, whatever the number of users.
pub const USERS_A_BLOCK: usize = 1024;

/// The values of metrics.
pub(crate) struct Sums<'a> {
    metrics: &'a [AnyMetric],
    /// The metrics of single lists among them.
    of_lists: Vec<&'a AnyMetric>,
    /// The values of each of those, a value a user.
    values: Vec<Vec<f64>>,
    /// How often each item stands among the first k of a list, for every k of a metric of all lists.
    exposure: Vec<(usize, Vec<AtomicU32>)>,
    /// Lists with equal scores.
    tied: AtomicUsize,
}

/// The lists of a block of users.
pub(crate) enum Block<'a> {
    /// Lists that are there.
    Made(&'a [RankedList]),
    /// What puts the list of the user in a place into what it is given.
    Put(&'a (dyn Fn(usize, &mut RankedList) + Sync)),
}

impl<'a> Sums<'a> {
    /// Nothing yet, of a catalog of `n_items`.
    pub(crate) fn new(metrics: &'a [AnyMetric], n_items: usize) -> Self {
        let of_all = |metric: &&AnyMetric| metric.as_dyn().of_exposure(&[0]).is_some();
        let (of_all, of_lists): (Vec<_>, Vec<_>) = metrics.iter().partition(of_all);
        let mut exposure: Vec<(usize, Vec<AtomicU32>)> = Vec::new();
        for k in of_all.iter().map(|metric| metric.as_dyn().k()) {
            if exposure.iter().all(|(known, _)| *known != k) {
                exposure.push((k, (0..n_items).map(|_| AtomicU32::new(0)).collect()));
            }
        }
        let (values, tied) = (vec![Vec::new(); of_lists.len()], AtomicUsize::new(0));
        Self { metrics, of_lists, values, exposure, tied }
    }

    /// Takes the metrics of a block of users, of whose lists `about` knows, in parallel.
    pub(crate) fn add<'b>(
        &mut self,
        cases: &[EvalCase<'_>],
        lists: &Block<'_>,
        about: impl Fn(usize) -> About<'b> + Sync,
    ) {
        let width = self.of_lists.len().max(1);
        let mut rows = vec![0.0; cases.len() * width];
        rows.par_chunks_mut(width).zip(cases).enumerate().with_min_len(16).for_each_init(
            RankedList::default,
            |memory, (place, (row, case))| {
                let list = match lists {
                    Block::Made(lists) => &lists[place],
                    Block::Put(put) => {
                        put(place, memory);
                        memory
                    }
                };
                let mut neighbours = list.scores.windows(2);
                if neighbours.any(|pair| pair[0].total_cmp(&pair[1]).is_eq()) {
                    self.tied.fetch_add(1, Ordering::Relaxed);
                }
                let about = about(place);
                for (value, metric) in row.iter_mut().zip(&self.of_lists) {
                    let of_user = metric.as_dyn().of_user(list, case.targets, &about);
                    *value = of_user.unwrap_or_default();
                }
                for (k, times) in &self.exposure {
                    for item in list.items.iter().take(*k) {
                        // Numbers of times add up to the same in any order.
                        times[item.index()].fetch_add(1, Ordering::Relaxed);
                    }
                }
            },
        );
        for (place, values) in self.values.iter_mut().enumerate() {
            values.extend(rows.iter().skip(place).step_by(width));
        }
    }

    /// The metrics of all `cases`; `label` says what a metric is called.
    pub(crate) fn finish(
        self,
        cases: &[EvalCase<'_>],
        label: impl Fn(&AnyMetric) -> String,
        protocol: String,
    ) -> Result<Evaluation> {
        if cases.is_empty() {
            return Err(Error::EmptySplit {
                part: "asked",
                split: "study's",
                reason: "no user has anything to foretell in it".to_owned(),
            });
        }
        let exposure = |(k, times): (usize, Vec<AtomicU32>)| {
            (k, times.into_iter().map(AtomicU32::into_inner).collect())
        };
        let exposure: Vec<(usize, Vec<u32>)> = self.exposure.into_iter().map(exposure).collect();
        let (mut metrics, mut per_user) = (Vec::new(), Vec::new());
        let mut values = self.values.into_iter();
        for metric in self.metrics {
            let (metric, label) = (metric.as_dyn(), label(metric));
            let shown = exposure.iter().find(|(k, _)| *k == metric.k());
            let of_all = shown.and_then(|(_, times)| metric.of_exposure(times));
            let (mean, standard_error) = if let Some(value) = of_all {
                (value, None)
            } else {
                let values = values.next().unwrap_or_default();
                let weights = cases.iter().map(|case| metric.weight(case.targets));
                let weights: Vec<f64> = weights.collect();
                let mean = mean(&values, &weights);
                let error = standard_error((&values, &weights), mean);
                per_user.push(PerUser { metric: label.clone(), values });
                (mean, error)
            };
            metrics.push(Value { metric: label, mean, standard_error, n_users: cases.len() });
        }
        let users: Vec<UserId> = cases.iter().map(|case| case.user).collect();
        let ties = Some(self.tied.into_inner() as f64 / users.len() as f64);
        Ok(Evaluation { summary: Summary { protocol, metrics, ties }, users, per_user })
    }
}

/// Σ wᵢ xᵢ / Σ wᵢ.
fn mean(values: &[f64], weights: &[f64]) -> f64 {
    let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    sum / weights.iter().sum::<f64>()
}

/// Of a weighted mean m: √(n/(n − 1) Σ wᵢ² (xᵢ − m)²) / Σ wᵢ, which with equal weights is the standard
/// deviation (n − 1) over √n; `None` of fewer than two values.
fn standard_error((values, weights): (&[f64], &[f64]), mean: f64) -> Option<f64> {
    let n = values.len();
    let off = values.iter().zip(weights).map(|(value, weight)| (weight * (value - mean)).powi(2));
    let squares: f64 = off.sum();
    let total: f64 = weights.iter().sum();
    (n > 1).then(|| (squares * n as f64 / (n - 1) as f64).sqrt() / total)
}
