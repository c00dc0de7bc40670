//! Mean reciprocal rank of the first target.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks};

/// Mean reciprocal rank of the first target.
///
/// # What it measures
/// How far down the first right item stands.
///
/// # Formula
/// 1 / rank of the first target among the first k, 0 if there is none; the mean over users.
///
/// # When not to use it
/// It sees the first target only. It is not the "MRR" of the MIND news data, a mean over all targets,
/// which is in `predictions`.
///
/// # References
/// `mrr` of ranx; Voorhees 1999.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mrr {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Mrr {
    fn label(&self) -> String {
        format!("MRR@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        Some(ranks(list, targets, self.k).next().map_or(0.0, |rank| 1.0 / rank as f64))
    }
}
