//! Share of the list that are targets.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks};

/// Share of the list that are targets.
///
/// # What it measures
/// How much of what was recommended was right.
///
/// # Formula
/// |L ∩ T| / k, with L the first k of the list; a list that is shorter than k is not made up for.
///
/// # When not to use it
/// With one target a user it is recall divided by k.
///
/// # References
/// `precision` of ranx. (RecBole divides by the length of the list.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Precision {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Precision {
    fn label(&self) -> String {
        format!("Precision@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        Some(ranks(list, targets, self.k).count() as f64 / self.k as f64)
    }
}
