//! A linear model from items to items in closed form.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use serde::{Deserialize, Serialize};
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{Error, RankedList, RecQuery, Recommender};

use super::{FitContext, FitRecommender, Given, check, distinct};
use crate::Result;

/// A linear model from items to items in closed form (EASE).
///
/// # What it does
/// Finds the weights B between items, none from an item to itself, that best reproduce the
/// training part, X ≈ X B, and scores an item by the sum of the weights from the distinct items
/// of the history.
///
/// # Formula
/// P = (XᵀX + λI)⁻¹, Bᵢⱼ = −Pᵢⱼ / Pⱼⱼ for i ≠ j, with X users × items, 1 where a user met an item in
/// the training part.
///
/// # When not to use it
/// Work grows with the cube of the number of items and memory with its square, three matrices of
/// items × items in f32; it refuses more than `max-items`. It does not see the order of the history.
///
/// # References
/// Steck 2019, *Embarrassingly shallow autoencoders for sparse data*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ease {
    /// The regularisation λ.
    pub regularisation: f64,
    /// More items than this are refused.
    pub max_items: usize,
}

impl Default for Ease {
    fn default() -> Self {
        Self { regularisation: 200.0, max_items: 20_000 }
    }
}

struct Fitted {
    inverse: Mat<f32>,
}

impl FitRecommender for Ease {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let (data, split) = (context.data, context.split);
        let n_items = data.n_items();
        if let Some(problem) = self.too_many(n_items) {
            return Err(problem);
        }
        let mut gram: Mat<f32> = Mat::zeros(n_items, n_items);
        for user in data.interactions.users() {
            let basket = distinct(split.train(data, user));
            for column in &basket {
                for row in &basket {
                    gram[(row.index(), column.index())] += 1.0;
                }
            }
        }
        for item in 0..n_items {
            #[expect(clippy::cast_possible_truncation, reason = "the matrix is f32")]
            let regularisation = self.regularisation as f32;
            gram[(item, item)] += regularisation;
        }
        let factor = gram.llt(Side::Lower).map_err(|_| Error::Unsuitable {
            recommender: "ease",
            reason: "the item matrix is not positive definite; raise regularisation".to_owned(),
        })?;
        drop(gram);
        Ok(Box::new(Fitted { inverse: factor.inverse() }))
    }

    fn problems(&self) -> Vec<crate::Error> {
        check("regularisation", self.regularisation, 1e-3..=1e9).into_iter().collect()
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<crate::Error> {
        self.too_many(given.data.n_items()).into_iter().collect()
    }
}

impl Ease {
    fn too_many(&self, n_items: usize) -> Option<crate::Error> {
        if n_items <= self.max_items {
            return None;
        }
        let needed = 3.0 * 4.0 * (n_items as f64).powi(2) / f64::from(1 << 30);
        let reason = format!(
            "{n_items} items need about {needed:.1} GiB and work in the cube of that number, and \
             max-items is {}; raise max-items, use a k-core, or use item-knn",
            self.max_items
        );
        let error = Error::Unsuitable { recommender: "ease", reason };
        Some(crate::Error::from(error).at("max-items"))
    }
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        "ease"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let n_items = self.inverse.nrows();
        rank_by_scores(queries, options, |queries, scores| {
            for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(n_items)) {
                let history = distinct(query.history);
                for item in &history {
                    let column = self.inverse.col(item.index());
                    for (score, value) in scores.iter_mut().zip(column.iter()) {
                        *score -= value;
                    }
                }
                for item in history {
                    // B has no weight from an item to itself.
                    let own = item.index();
                    scores[own] += self.inverse[(own, own)];
                }
                for (item, score) in scores.iter_mut().enumerate() {
                    *score /= self.inverse[(item, item)];
                }
            }
            Ok(())
        })
    }
}
