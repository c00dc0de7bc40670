//! Share of the list from the long tail of the catalog.

use serde::{Deserialize, Serialize};
use tastemaker_core::{Error, ItemId, RankedList};

use super::{Metric, Need, mean_of};
use crate::About;

/// Share of the list from the long tail of the catalog.
///
/// # What it measures
/// Whether others than the most popular items are recommended.
///
/// # Formula
/// Share of the first k that are long-tail items: those of which more popular ones have at least
/// `head` (0.8) of the interactions of the training part; items that were met as often are on the
/// same side. The mean over users. 0 for an empty list.
///
/// # When not to use it
/// Without saying where the tail begins: others take the 20 % most popular items for the head.
///
/// # References
/// APLT: Abdollahpouri, Burke and Mobasher 2019; `APLT` of Elliot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LongTail {
    /// The cut-off.
    pub k: usize,
    /// The share of the training part's interactions that the popular items have.
    #[serde(default = "most")]
    pub head: f64,
}

impl Metric for LongTail {
    fn label(&self) -> String {
        if *self == Self::of(self.k) {
            return format!("APLT@{}", self.k);
        }
        format!("APLT@{} head-{}", self.k, self.head)
    }

    fn k(&self) -> usize {
        self.k
    }

    fn needs(&self) -> Need<'_> {
        Need::Popularity
    }

    fn problem(&self) -> Option<Error> {
        let fits = self.head > 0.0 && self.head < 1.0;
        let problem = || Error::setting("head", self.head, "a number between 0 and 1");
        (!fits).then(problem)
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], about: &About<'_>) -> Option<f64> {
        let tail = |item: &ItemId| f64::from(u8::from(about.ground.is_long_tail(*item, self.head)));
        Some(mean_of(list.items.iter().take(self.k).map(tail)))
    }
}

impl LongTail {
    /// Where popular items have four fifths of the interactions.
    pub fn of(k: usize) -> Self {
        Self { k, head: most() }
    }
}

fn most() -> f64 {
    0.8
}
