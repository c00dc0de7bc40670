//! The last places of a list go to items drawn at random.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, SeedTree};
use tastemaker_eval::Ground;

use super::{AnyMitigation, Mitigation, Reranker};

/// The last places of a list go to items drawn at random.
///
/// # How
/// ⌈λ n⌉ of n places, λ the strength, the last ones: items of the catalog, or of the candidates, that are
/// neither in the history nor above, all equally likely. The draw follows from the seed, the user and the
/// length of the history. They have the lowest score.
///
/// # When not to use it
/// Where a wrong item does harm. Items drawn without regard to taste are seldom chosen, so that they do
/// little against a bubble (arXiv 2512.03067).
///
/// # References
/// ε-greedy: Sutton and Barto 2018, 2.2, with a quota instead of a chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exploration {
    /// λ.
    pub strength: f64,
    /// What the draw follows from.
    #[serde(default)]
    pub seed: u64,
}

impl Mitigation for Exploration {
    fn strength(&self) -> f64 {
        self.strength
    }

    fn at(&self, strength: f64) -> AnyMitigation {
        AnyMitigation::Exploration(Self { strength, ..self.clone() })
    }

    fn reranker<'a>(&'a self, ground: &'a Ground) -> Reranker<'a> {
        Box::new(move |list, query, n| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of n"
            )]
            let quota = ((self.strength * n as f64).ceil() as usize).min(n);
            let mut kept = list.clone();
            kept.items.truncate(n - quota);
            kept.scores.truncate(n - quota);
            let mut pool: Vec<ItemId> = match query.candidates {
                Some(candidates) => candidates.to_vec(),
                None => (0..).map(ItemId).take(ground.n_items()).collect(),
            };
            pool.retain(|item| !query.history.contains(item) && !kept.items.contains(item));
            let user = query.user.map_or(u64::MAX, |user| user.0.into());
            let seeds = SeedTree::new(self.seed).child("exploration").index(user);
            let mut rng = seeds.index(query.history.len() as u64).rng();
            let (drawn, _) = pool.partial_shuffle(&mut rng, quota);
            let lowest = list.scores.iter().copied().fold(f32::INFINITY, f32::min);
            kept.items.extend(drawn.iter());
            kept.scores.resize(kept.items.len(), lowest);
            kept
        })
    }
}
