//! Targets that popularity would not have found.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Metric, Need, mean_of};
use crate::About;

/// Targets that popularity would not have found.
///
/// # What it measures
/// How much higher targets stand than they would stand by popularity.
///
/// # Formula
/// 1/|L| Σ max(p(i) − q(i), 0) [i ∈ T] over the first k, with p(i) = (n + 1 − rank in the list) /
/// n, q(i) = (n + 1 − rank by popularity) / n over the n items of the catalog; items met equally
/// often share a rank, and q = 0 for those that nobody has met. The mean over users. 0 for an empty
/// list.
///
/// # When not to use it
/// Where the catalog is large: the difference is then in the last places of p and q.
///
/// # References
/// `Serendipity` of `RecTools`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Serendipity {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Serendipity {
    fn label(&self) -> String {
        format!("Serendipity@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn needs(&self) -> Need<'_> {
        Need::Popularity
    }

    fn of_user(&self, list: &RankedList, targets: &[ItemId], about: &About<'_>) -> Option<f64> {
        let n = about.ground.n_items() as f64;
        let chance = |rank: u32| (n + 1.0 - f64::from(rank)) / n;
        let gain = |(rank, item): (u32, &ItemId)| {
            let met = about.ground.popularity(*item) > 0;
            let popular = if met { chance(about.ground.rank(*item)) } else { 0.0 };
            if targets.contains(item) { (chance(rank) - popular).max(0.0) } else { 0.0 }
        };
        Some(mean_of((1..).zip(list.items.iter().take(self.k)).map(gain)))
    }
}
