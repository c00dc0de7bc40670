//! The mix of categories of a list comes near that of the user's history.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;
use tastemaker_eval::Ground;
use tastemaker_eval::metrics::divergence;

use super::{AnyMitigation, Mitigation, Reranker, greedy, relevance};

/// The mix of categories of a list comes near that of the user's history.
///
/// # Formula
/// One after the other the item with the largest (1 − λ) Σ s − λ KL(p, q̃), with λ the strength, Σ s the
/// scores, between 0 and 1, of the items above it and its own, p the shares of categories in the history
/// and q̃ those in these items, smoothed as `miscalibration` has it.
///
/// # When not to use it
/// For users with few items: their mix is chance.
///
/// # References
/// Steck 2018, *Calibrated recommendations*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Calibrated {
    /// λ.
    pub strength: f64,
    /// The attribute whose categories are looked at; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

impl Mitigation for Calibrated {
    fn strength(&self) -> f64 {
        self.strength
    }

    fn at(&self, strength: f64) -> AnyMitigation {
        AnyMitigation::Calibrated(Self { strength, ..self.clone() })
    }

    fn reranker<'a>(&'a self, ground: &'a Ground) -> Reranker<'a> {
        let attribute = self.attribute.as_deref();
        Box::new(move |list, query, n| {
            let (taste, scores) = (ground.mix(query.history, attribute), relevance(list));
            // The scores of what stands above are the same for all that could come next.
            greedy(list, n, |left, taken| {
                let mut items: Vec<ItemId> = taken.iter().map(|&place| list.items[place]).collect();
                let worth = |&place: &usize| {
                    items.push(list.items[place]);
                    let off = divergence(&taste, &ground.mix(&items, attribute));
                    items.pop();
                    (1.0 - self.strength) * scores[place] - self.strength * off
                };
                left.iter().map(worth).collect()
            })
        })
    }
}
