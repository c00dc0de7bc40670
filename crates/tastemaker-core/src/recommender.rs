//! What everything that recommends answers.

use rayon::prelude::*;

use crate::error::Result;
use crate::ids::ItemId;
use crate::query::RecQuery;
use crate::ranked::{RankedList, TieOrder};

/// How the answer to a [`RecQuery`] is cut.
#[derive(Clone, Copy, Debug)]
pub struct RankOptions<'a> {
    /// How many items to return at most.
    pub n: usize,
    /// Whether items of the history may be recommended again.
    pub allow_seen: bool,
    /// Who comes first among equal scores.
    pub ties: &'a TieOrder,
}

impl RankOptions<'_> {
    /// What of the history of `query` may not be recommended.
    pub fn seen<'q>(&self, query: &RecQuery<'q>) -> &'q [ItemId] {
        if self.allow_seen { &[] } else { query.history }
    }
}

/// Ranks the items of a data set for a user or a history.
pub trait Recommender: Send + Sync {
    /// The name in results.
    fn name(&self) -> &str;

    /// One list a query, in the order of the queries.
    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> Result<Vec<RankedList>>;
}

/// How many queries are scored together by [`rank_by_scores`]: memory is this many scores an item
/// and thread, whatever the number of queries.
pub const QUERIES_A_BLOCK: usize = 32;

/// Answers `queries` from a function that scores the whole catalog for a block of queries.
///
/// `score` gets at most [`QUERIES_A_BLOCK`] queries and a zeroed buffer of that many rows of
/// `options.ties.n_items()` scores. Blocks run on all threads; the answer does not depend on how
/// many there are.
pub fn rank_by_scores(
    queries: &[RecQuery<'_>],
    options: &RankOptions<'_>,
    score: impl Fn(&[RecQuery<'_>], &mut [f32]) -> Result<()> + Sync,
) -> Result<Vec<RankedList>> {
    let n_items = options.ties.n_items();
    let blocks: Result<Vec<Vec<RankedList>>> = queries
        .par_chunks(QUERIES_A_BLOCK)
        .map_init(Vec::new, |scores: &mut Vec<f32>, block| {
            scores.clear();
            scores.resize(block.len() * n_items, 0.0);
            score(block, scores)?;
            let rows = scores.chunks_exact_mut(n_items.max(1));
            Ok(block.iter().zip(rows).map(|(query, row)| rank(query, row, options)).collect())
        })
        .collect();
    Ok(blocks?.into_iter().flatten().collect())
}

/// Ranks one row of scores over the whole catalog: seen items out, candidates only, ties settled.
pub fn rank(query: &RecQuery<'_>, scores: &mut [f32], options: &RankOptions<'_>) -> RankedList {
    for item in options.seen(query) {
        scores[item.index()] = f32::NEG_INFINITY;
    }
    match query.candidates {
        Some(candidates) => options
            .ties
            .top_n(candidates.iter().map(|&item| (item, scores[item.index()])), options.n),
        None => {
            let all = (0..).map(ItemId).zip(scores.iter().copied());
            options.ties.top_n(all, options.n)
        }
    }
}
