//! Share of the targets that are in the list.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks};

/// Share of the targets that are in the list.
///
/// # What it measures
/// How much of what was right was recommended.
///
/// # Formula
/// |L ∩ T| / |T|, with L the first k of the list; the mean over users.
///
/// # When not to use it
/// With more targets than k it cannot reach 1.
///
/// # References
/// `recall` of ranx; `recall_k` of `trec_eval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recall {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Recall {
    fn label(&self) -> String {
        format!("Recall@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        Some(ranks(list, targets, self.k).count() as f64 / targets.len() as f64)
    }
}
