//! Mean average precision over all targets.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks, total};

/// Mean average precision over all targets.
///
/// # What it measures
/// How early the right items stand, over all of them.
///
/// # Formula
/// Σ P@rank over the targets among the first k, divided by |T|; P@r is the share of targets among the first r. The mean over users.
///
/// # When not to use it
/// With more targets than k it cannot reach 1. RecBole divides by min(|T|, k) instead: its values are larger then; with at most k targets the two agree.
///
/// # References
/// `map` of ranx and `trec_eval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Map {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Map {
    fn label(&self) -> String {
        format!("MAP@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        let precisions = (1..).zip(ranks(list, targets, self.k));
        let sum = total(precisions.map(|(found, rank)| f64::from(found) / rank as f64));
        Some(sum / targets.len() as f64)
    }
}
