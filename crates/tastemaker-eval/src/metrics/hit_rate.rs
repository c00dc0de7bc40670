//! Share of users with a target in their list (HR).

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;

use super::{Metric, ranks};

/// Share of users with a target in their list (HR).
///
/// # What it measures
/// Whether anything right was recommended.
///
/// # Formula
/// 1 if the first k of the list L hold a target of T, else 0; the mean over users.
///
/// # When not to use it
/// With many targets a user it saturates; use recall.
///
/// # References
/// `hit_rate` of ranx; `Hit` of RecBole. With one target it equals recall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HitRate {
    /// The cut-off.
    pub k: usize,
}

impl Metric for HitRate {
    fn label(&self) -> String {
        format!("HR@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64> {
        Some(f64::from(u8::from(ranks(list, targets, self.k).next().is_some())))
    }
}
