//! The items met most often.

use serde::{Deserialize, Serialize};
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{RankedList, RecQuery, Recommender};

use super::{FitContext, FitRecommender};
use crate::Result;

/// The items met most often in the training part, the same for everybody.
///
/// # What it does
/// Scores an item by its interactions in the training part. The published popularity baselines
/// of S3-Rec's data sets count the test items too, and so are too good.
///
/// # When not to use it
/// As a recommender; it is the control that every other one must beat.
///
/// # References
/// Ji, Sun, Zhang and Li 2020, *A re-visit of the popularity baseline in recommender systems*.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MostPopular {}

struct Fitted {
    scores: Vec<f32>,
}

impl FitRecommender for MostPopular {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let counts = context.split.train_popularity(context.data);
        Ok(Box::new(Fitted { scores: counts.iter().map(|&count| count as f32).collect() }))
    }
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        "most-popular"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        rank_by_scores(queries, options, |queries, scores| {
            for row in scores.chunks_exact_mut(self.scores.len()).take(queries.len()) {
                row.copy_from_slice(&self.scores);
            }
            Ok(())
        })
    }
}
