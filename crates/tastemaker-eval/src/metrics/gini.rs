//! How unequally items are recommended.

use serde::{Deserialize, Serialize};

use super::{Better, Metric};

/// How unequally items are recommended.
///
/// # What it measures
/// Concentration of exposure: 0 where all items of the catalog stand in equally many lists, near 1
/// where few have it all. Smaller is more equal.
///
/// # Formula
/// Σᵢ (2i − n − 1) pᵢ / (n Σᵢ pᵢ) over the n items of the catalog, with pᵢ how often an item stands
/// among the first k, ascending.
///
/// # When not to use it
/// To compare lists of different length or over different catalogs. Elliot gives 1 − this, so that
/// larger is more equal.
///
/// # References
/// `GiniIndex` of RecBole; Fleder and Hosanagar 2009.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gini {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Gini {
    fn label(&self) -> String {
        format!("Gini@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn of_exposure(&self, exposure: &[u32]) -> Option<f64> {
        let mut sorted = exposure.to_vec();
        sorted.sort_unstable();
        let n = sorted.len() as f64;
        let total: f64 = sorted.iter().map(|&times| f64::from(times)).sum();
        let weighted =
            (1..).zip(&sorted).map(|(i, &times)| (f64::from(2 * i) - n - 1.0) * f64::from(times));
        Some(if total > 0.0 { super::total(weighted) / (n * total) } else { 0.0 })
    }
}
