//! How popular what is recommended is.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Better, Metric, Need, mean_of};
use crate::About;

/// How popular what is recommended is.
///
/// # What it measures
/// How many users of the training part have met an item that is recommended, on average.
///
/// # Formula
/// Mean of the popularity φ(i) over the first k, φ counted in the training part; the mean over
/// users. 0 for an empty list.
///
/// # When not to use it
/// To compare data sets: it grows with the number of users.
///
/// # References
/// ARP: Yin et al. 2012; `AveragePopularity` of RecBole, `ARP` of Elliot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AveragePopularity {
    /// The cut-off.
    pub k: usize,
}

impl Metric for AveragePopularity {
    fn label(&self) -> String {
        format!("ARP@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn needs(&self) -> Need<'_> {
        Need::Popularity
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], about: &About<'_>) -> Option<f64> {
        let popularity = |item: &ItemId| f64::from(about.ground.popularity(*item));
        Some(mean_of(list.items.iter().take(self.k).map(popularity)))
    }
}
