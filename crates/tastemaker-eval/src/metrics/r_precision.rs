//! Share of as many first items as there are targets that are targets.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks};

/// Share of as many first items as there are targets that are targets.
///
/// # What it measures
/// How many of the targets stand where all of them could stand.
///
/// # Formula
/// |L ∩ T| / |T| with L the first |T| of the list; the mean over users.
///
/// # When not to use it
/// With one target a user it is the hit rate at 1.
///
/// # References
/// `r-precision` of ranx; `Rprec` of `trec_eval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RPrecision {}

impl Metric for RPrecision {
    fn label(&self) -> String {
        "R-precision".to_owned()
    }

    fn k(&self) -> usize {
        usize::MAX
    }

    fn depth(&self, most_targets: usize) -> usize {
        most_targets
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        let n = targets.len();
        Some(ranks(list, targets, n).count() as f64 / n as f64)
    }
}
