//! Share of what a model names that does not exist.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Better, Metric};
use crate::About;

/// Share of what a model names that does not exist.
///
/// # What it measures
/// How often a model that writes what it recommends writes what is no item, or none of those that
/// it may choose from. 0 for what cannot write such a thing.
///
/// # Formula
/// u / n with u of the n names that are no items; 0 where nothing is named; the mean over users.
///
/// # When not to use it
/// To compare models whose names were matched differently.
///
/// # References
/// "Invalid" or "hallucinated" items in Hou et al. 2024, `LLMRank`; TIGER's invalid ids (Rajput et
/// al. 2023).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvalidRate {}

impl Metric for InvalidRate {
    fn label(&self) -> String {
        "invalid-rate".to_owned()
    }

    fn k(&self) -> usize {
        1
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn of_list(&self, _list: &[ItemId], _targets: &[ItemId]) -> Option<f64> {
        Some(0.0)
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], _: &About<'_>) -> Option<f64> {
        Some(if list.named == 0 { 0.0 } else { list.invalid as f64 / list.named as f64 })
    }
}
