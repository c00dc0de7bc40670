//! How little known what is recommended is, in bits.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Metric, Need, mean_of};
use crate::About;

/// How little known what is recommended is, in bits.
///
/// # What it measures
/// Mean self-information of the recommended items: how surprised somebody drawn at random would be
/// to have met them.
///
/// # Formula
/// −1/|L| Σ log₂ (φ(i) / n) over the first k, with φ(i) of the n users of the training part who
/// have met i, counted as one where nobody has; the mean over users. 0 for an empty list.
///
/// # When not to use it
/// Alone: what is irrelevant is novel, too.
///
/// # References
/// `MeanInvUserFreq` of `RecTools`; Zhou et al. 2010; Castells, Hurley and Vargas 2015.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Novelty {
    /// The cut-off.
    pub k: usize,
}

impl Metric for Novelty {
    fn label(&self) -> String {
        format!("Novelty@{}", self.k)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn needs(&self) -> Need<'_> {
        Need::Popularity
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], about: &About<'_>) -> Option<f64> {
        let n = about.ground.n_users() as f64;
        let surprise =
            |item: &ItemId| -(f64::from(about.ground.popularity(*item).max(1)) / n).log2();
        Some(mean_of(list.items.iter().take(self.k).map(surprise)))
    }
}
