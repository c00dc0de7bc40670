//! Popular items come later.

use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;
use tastemaker_eval::Ground;

use super::{AnyMitigation, Mitigation, Reranker, greedy, relevance};

/// Popular items come later.
///
/// # Formula
/// The items with the largest (1 − λ) s − λ ln(1 + φ) / ln(1 + max φ), with s their scores between 0 and
/// 1, λ the strength, φ how often they were met in the training part and the largest φ of the catalog.
///
/// # When not to use it
/// Where what is popular is wanted: it costs accuracy first.
///
/// # References
/// After Abdollahpouri, Burke and Mobasher 2019, *Managing Popularity Bias with Personalized Re-ranking*;
/// the penalty is that of logQ corrections, on scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PopularityDebiased {
    /// λ.
    pub strength: f64,
}

impl Mitigation for PopularityDebiased {
    fn strength(&self) -> f64 {
        self.strength
    }

    fn at(&self, strength: f64) -> AnyMitigation {
        AnyMitigation::PopularityDebiased(Self { strength })
    }

    fn reranker<'a>(&'a self, ground: &'a Ground) -> Reranker<'a> {
        let known = |item: ItemId| f64::from(ground.popularity(item)).ln_1p();
        let all = (0..).map(ItemId).take(ground.n_items());
        let most = all.map(known).fold(f64::MIN_POSITIVE, f64::max);
        Box::new(move |list, _, n| {
            let scores = relevance(list);
            let worth = |&place: &usize| {
                let popular = known(list.items[place]) / most;
                (1.0 - self.strength) * scores[place] - self.strength * popular
            };
            greedy(list, n, |left, _| left.iter().map(worth).collect())
        })
    }
}
