//! AUC of each user, weighted by targets.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Metric, auc};
use crate::About;

/// AUC of each user, weighted by targets.
///
/// # What it measures
/// As `auc`, where users with more targets count more.
///
/// # Formula
/// `Σᵤ |Tᵤ| AUCᵤ / Σᵤ |Tᵤ|`.
///
/// # When not to use it
/// With one target a user it is `auc`.
///
/// # References
/// `GAUC` of RecBole; Zhu et al. 2017.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GroupedAuc {}

impl Metric for GroupedAuc {
    fn label(&self) -> String {
        "GAUC".to_owned()
    }

    fn k(&self) -> usize {
        usize::MAX
    }

    fn of_user(&self, list: &RankedList, targets: &[ItemId], about: &About<'_>) -> Option<f64> {
        Some(auc::auc(list, targets, about.n_candidates()))
    }

    fn weight(&self, targets: &[ItemId]) -> f64 {
        targets.len() as f64
    }
}
