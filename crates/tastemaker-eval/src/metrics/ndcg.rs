//! Normalised discounted cumulative gain: targets count more the higher they stand.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks, total};
use crate::predictions::discount;

/// Normalised discounted cumulative gain: targets count more the higher they stand.
///
/// # What it measures
/// How much of what was right was recommended, and how high.
///
/// # Formula
/// Σ 1/log₂(rank + 1) over the targets among the first k, divided by the same sum for the best possible list, over ranks 1 to min(|T|, k); the mean over users.
///
/// # When not to use it
/// Where only the presence in the list matters.
///
/// # References
/// Järvelin and Kekäläinen 2002; `ndcg` of ranx, binary relevance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ndcg {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Ndcg {
    fn label(&self) -> String {
        format!("NDCG@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        let best = total((1..=targets.len().min(self.k)).map(discount));
        Some(total(ranks(list, targets, self.k).map(discount)) / best)
    }
}
