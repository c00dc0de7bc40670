//! How different the items of a list are by their categories.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Metric, Need, mean_of};
use crate::About;

/// How different the items of a list are by their categories.
///
/// # What it measures
/// Whether a list is more of the same.
///
/// # Formula
/// Mean over the pairs of the first k of 1 − |Cᵢ ∩ Cⱼ| / |Cᵢ ∪ Cⱼ|, with C the categories of an
/// item; two items without any are alike. The mean over users. 0 for a list of fewer than two
/// items.
///
/// # When not to use it
/// Where categories are few, or missing for many items.
///
/// # References
/// Intra-list diversity: Smyth and `McClave` 2001; Ziegler et al. 2005; the distance is `jaccard` of
/// scipy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Diversity {
    /// The cut-off.
    pub k: usize,
    /// The attribute whose categories are looked at; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

impl Metric for Diversity {
    fn label(&self) -> String {
        match &self.attribute {
            Some(attribute) => format!("ILD@{} {attribute}", self.k),
            None => format!("ILD@{}", self.k),
        }
    }

    fn k(&self) -> usize {
        self.k
    }

    fn needs(&self) -> Need<'_> {
        Need::Categories(self.attribute.as_deref())
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], about: &About<'_>) -> Option<f64> {
        let of = |item: &ItemId| -> Vec<u32> {
            about.ground.categories(*item, self.attribute.as_deref()).collect()
        };
        let sets: Vec<Vec<u32>> = list.items.iter().take(self.k).map(of).collect();
        let pairs = (1..sets.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        Some(mean_of(pairs.map(|(i, j)| distance(&sets[i], &sets[j]))))
    }
}

/// Jaccard's distance of two ascending lists of categories; 0 where both are empty.
pub fn distance(a: &[u32], b: &[u32]) -> f64 {
    let common = a.iter().filter(|value| b.binary_search(value).is_ok()).count();
    let all = a.len() + b.len() - common;
    if all == 0 { 0.0 } else { 1.0 - common as f64 / all as f64 }
}
