//! Items that were met by the same users.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{ItemId, RankedList, RecQuery, Recommender};

use super::{FitContext, FitRecommender, check, distinct};
use crate::Result;

/// Items that were met by the same users as those of the history.
///
/// # What it does
/// Keeps each item's most similar items and scores an item by the sum of its similarities to the
/// distinct items of the history.
///
/// # Formula
/// s(i, j) = n(i, j) / (√(n(i) n(j)) + shrink), with n(i) the users of the training part that met
/// i and n(i, j) those that met both; shrink = 0 is the cosine.
///
/// # When not to use it
/// It does not see the order of the history.
///
/// # References
/// Sarwar et al. 2001; Deshpande and Karypis 2004; the shrinkage of Bell and Koren 2007.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ItemKnn {
    /// Similar items kept of each item.
    pub neighbours: usize,
    /// Makes similarities from few users smaller.
    pub shrink: f64,
}

impl Default for ItemKnn {
    fn default() -> Self {
        Self { neighbours: 100, shrink: 10.0 }
    }
}

struct Fitted {
    neighbours: Vec<Vec<(ItemId, f32)>>,
}

impl FitRecommender for ItemKnn {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let (data, split) = (context.data, context.split);
        let baskets: Vec<Vec<ItemId>> =
            data.interactions.users().map(|user| distinct(split.train(data, user))).collect();
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); data.n_items()];
        for (user, basket) in baskets.iter().enumerate() {
            for item in basket {
                users[item.index()].push(user);
            }
        }
        let neighbours = (0..data.n_items()).into_par_iter().map_init(
            || vec![0_u32; data.n_items()],
            |counts, item| self.neighbours_of(item, &baskets, &users, counts),
        );
        Ok(Box::new(Fitted { neighbours: neighbours.collect() }))
    }

    fn problems(&self) -> Vec<crate::Error> {
        let neighbours = check("neighbours", self.neighbours, 1..=1_000_000);
        neighbours.into_iter().chain(check("shrink", self.shrink, 0.0..=1e9)).collect()
    }
}

impl ItemKnn {
    /// The items most similar to `item`, most similar first; `counts` is all zeros before and after.
    fn neighbours_of(
        &self,
        item: usize,
        baskets: &[Vec<ItemId>],
        users: &[Vec<usize>],
        counts: &mut [u32],
    ) -> Vec<(ItemId, f32)> {
        let mut met = Vec::new();
        for &user in &users[item] {
            for other in baskets[user].iter().filter(|other| other.index() != item) {
                if counts[other.index()] == 0 {
                    met.push(*other);
                }
                counts[other.index()] += 1;
            }
        }
        let n = |item: usize| users[item].len() as f64;
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
        let similarity = |other: ItemId, both: u32| {
            (f64::from(both) / ((n(item) * n(other.index())).sqrt() + self.shrink)) as f32
        };
        let mut neighbours: Vec<(ItemId, f32)> = met
            .into_iter()
            .map(|other| (other, similarity(other, std::mem::take(&mut counts[other.index()]))))
            .collect();
        let order = |a: &(ItemId, f32), b: &(ItemId, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        neighbours.sort_unstable_by(order);
        neighbours.truncate(self.neighbours);
        neighbours
    }
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        "item-knn"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let n_items = self.neighbours.len();
        rank_by_scores(queries, options, |queries, scores| {
            for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(n_items)) {
                for item in distinct(query.history) {
                    for (other, similarity) in &self.neighbours[item.index()] {
                        scores[other.index()] += similarity;
                    }
                }
            }
            Ok(())
        })
    }
}
