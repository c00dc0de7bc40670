//! Groups of items are shown as often as they are in the catalog.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList, RecQuery};
use tastemaker_eval::Ground;

use super::{AnyMitigation, Mitigation, first, greedy, relevance};

/// The share of the training part's interactions that popular items have.
const HEAD: f64 = 0.8;

/// Groups of items are shown as often as they are in the catalog.
///
/// # Formula
/// One after the other the item with the largest (1 − λ) s + λ (w − e), with s its score between 0 and 1, λ
/// the strength, w the share of its group among the items of the catalog and e that among the places above
/// it, each counting 1/log₂(rank + 1). Groups are the categories of an attribute (of several, their mean),
/// or, where none is named, popular and long-tail items.
///
/// # When not to use it
/// Where groups are too many for a list: then only the first get a place.
///
/// # References
/// After Singh and Joachims 2018, *Fairness of Exposure in Rankings* (its demographic parity, greedily and
/// list by list).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExposureFair {
    /// λ.
    pub strength: f64,
    /// The attribute whose categories are the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

impl ExposureFair {
    fn groups(&self, item: ItemId, ground: &Ground) -> Vec<u32> {
        match self.attribute.as_deref() {
            Some(attribute) => ground.categories(item, Some(attribute)).collect(),
            None => vec![u32::from(ground.is_long_tail(item, HEAD))],
        }
    }
}

impl Mitigation for ExposureFair {
    fn strength(&self) -> f64 {
        self.strength
    }

    fn at(&self, strength: f64) -> AnyMitigation {
        AnyMitigation::ExposureFair(Self { strength, ..self.clone() })
    }

    fn rerank(&self, list: &RankedList, _: &RecQuery<'_>, n: usize, ground: &Ground) -> RankedList {
        if self.strength == 0.0 {
            return first(list, n);
        }
        let mut wanted: BTreeMap<u32, f64> = BTreeMap::new();
        for item in (0..).map(ItemId).take(ground.n_items()) {
            let own = self.groups(item, ground);
            for group in &own {
                *wanted.entry(*group).or_default() += 1.0 / (own.len() * ground.n_items()) as f64;
            }
        }
        let scores = relevance(list);
        greedy(list, n, |place, above| {
            let mut shown: BTreeMap<u32, f64> = BTreeMap::new();
            let mut all = 0.0;
            for (rank, item) in (2_u32..).zip(above) {
                let (own, weight) = (self.groups(*item, ground), 1.0 / f64::from(rank).log2());
                all += weight;
                for group in &own {
                    *shown.entry(*group).or_default() += weight / own.len() as f64;
                }
            }
            let own = self.groups(list.items[place], ground);
            let share = |of: &BTreeMap<u32, f64>, group| of.get(group).copied().unwrap_or_default();
            let missing =
                own.iter().map(|g| share(&wanted, g) - share(&shown, g) / f64::max(all, 1e-9));
            let missing = missing.sum::<f64>() / own.len().max(1) as f64;
            (1.0 - self.strength) * scores[place] + self.strength * missing
        })
    }
}
