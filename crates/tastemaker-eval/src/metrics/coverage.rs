//! Share of the catalog that is recommended to anybody.

use serde::{Deserialize, Serialize};

use super::Metric;

/// Share of the catalog that is recommended to anybody.
///
/// # What it measures
/// Whether the recommender uses the catalog or always names the same few items.
///
/// # Formula
/// |∪ L| / number of items, over the first k of all lists L.
///
/// # When not to use it
/// It grows with the number of users, so compare it on the same users only; an item that is named
/// once counts as much as one that is named always.
///
/// # References
/// Ge, Delgado-Battenfeld and Jannach 2010; `ItemCoverage` of RecBole and Elliot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Coverage {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Coverage {
    fn label(&self) -> String {
        format!("Coverage@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn of_exposure(&self, exposure: &[u32]) -> Option<f64> {
        let shown = exposure.iter().filter(|&&times| times > 0).count();
        Some(shown as f64 / exposure.len() as f64)
    }
}
