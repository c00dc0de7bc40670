//! Items that are like those above them come later.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;
use tastemaker_eval::Ground;
use tastemaker_eval::metrics::distance;

use super::{AnyMitigation, Mitigation, Reranker, greedy, relevance};

/// Items that are like those above them come later (maximal marginal relevance).
///
/// # Formula
/// One after the other the item with the largest (1 − λ) s − λ max sim, with s its score between 0 and 1,
/// λ the strength, and sim = |Cᵢ ∩ Cⱼ| / |Cᵢ ∪ Cⱼ| of its categories with those of an item above it.
///
/// # When not to use it
/// Where categories are few: then all is alike.
///
/// # References
/// Carbonell and Goldstein 1998.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mmr {
    /// λ.
    pub strength: f64,
    /// The attribute whose categories are looked at; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

impl Mitigation for Mmr {
    fn strength(&self) -> f64 {
        self.strength
    }

    fn at(&self, strength: f64) -> AnyMitigation {
        AnyMitigation::Mmr(Self { strength, ..self.clone() })
    }

    fn reranker<'a>(&'a self, ground: &'a Ground) -> Reranker<'a> {
        let of = |item: &ItemId| -> Vec<u32> {
            ground.categories(*item, self.attribute.as_deref()).collect()
        };
        Box::new(move |list, _, n| {
            let (scores, sets) = (relevance(list), list.items.iter().map(of).collect::<Vec<_>>());
            // How like each is to what is above it, the most.
            let mut alike = vec![0.0; sets.len()];
            greedy(list, n, |left, taken| {
                if let Some(&last) = taken.last() {
                    for &place in left {
                        let like = 1.0 - distance(&sets[place], &sets[last]);
                        alike[place] = f64::max(alike[place], like);
                    }
                }
                let worth = |&place: &usize| {
                    (1.0 - self.strength) * scores[place] - self.strength * alike[place]
                };
                left.iter().map(worth).collect()
            })
        })
    }
}
