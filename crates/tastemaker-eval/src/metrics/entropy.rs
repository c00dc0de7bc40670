//! How evenly items are recommended, in nats.

use serde::{Deserialize, Serialize};

use super::Metric;

/// How evenly items are recommended, in nats.
///
/// # What it measures
/// Shannon entropy of exposure: 0 where one item is always recommended, the logarithm of the number
/// of items where all are equally often.
///
/// # Formula
/// −Σᵢ pᵢ ln pᵢ, with pᵢ the share that an item has of all places among the first k.
///
/// # When not to use it
/// To compare catalogs of different size. RecBole's code divides it by the number of items that are
/// recommended.
///
/// # References
/// `entropy` of scipy.stats; Shannon 1948.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entropy {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Entropy {
    fn label(&self) -> String {
        format!("Entropy@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn of_exposure(&self, exposure: &[u32]) -> Option<f64> {
        let total: f64 = exposure.iter().map(|&times| f64::from(times)).sum();
        let share = |times: u32| f64::from(times) / total;
        let shown = exposure.iter().filter(|times| **times > 0);
        Some(super::total(shown.map(|&times| -share(times) * share(times).ln())))
    }
}
