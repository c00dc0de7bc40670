//! Groups of items are shown as often as they are in the catalog.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;
use tastemaker_eval::Ground;

use super::{AnyMitigation, Mitigation, Reranker, greedy, relevance};

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

    fn reranker<'a>(&'a self, ground: &'a Ground) -> Reranker<'a> {
        let items = (0..).map(ItemId).take(ground.n_items());
        let groups: Vec<Vec<u32>> = items.map(|item| self.groups(item, ground)).collect();
        let mut wanted = Shares::default();
        for own in &groups {
            wanted.add(own, 1.0);
        }
        Box::new(move |list, _, n| {
            let scores = relevance(list);
            let own: Vec<&Vec<u32>> = list.items.iter().map(|item| &groups[item.index()]).collect();
            greedy(list, n, |left, taken| {
                let mut shown = Shares::default();
                for (rank, &place) in (2_u32..).zip(taken) {
                    shown.add(own[place], 1.0 / f64::from(rank).log2());
                }
                let worth = |&place: &usize| {
                    let missing = own[place].iter().map(|g| wanted.share(*g) - shown.share(*g));
                    let missing = missing.sum::<f64>() / own[place].len().max(1) as f64;
                    (1.0 - self.strength) * scores[place] + self.strength * missing
                };
                left.iter().map(worth).collect()
            })
        })
    }
}

/// How much of a whole each group has; an item of several gives each as much.
#[derive(Default)]
struct Shares {
    of: BTreeMap<u32, f64>,
    all: f64,
}

impl Shares {
    fn add(&mut self, groups: &[u32], weight: f64) {
        self.all += weight;
        for group in groups {
            *self.of.entry(*group).or_default() += weight / groups.len() as f64;
        }
    }

    fn share(&self, group: u32) -> f64 {
        self.of.get(&group).map_or(0.0, |weight| weight / self.all)
    }
}
