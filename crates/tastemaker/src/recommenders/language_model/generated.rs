//! A trained language model that writes items token by token.

use std::sync::Arc;

use tastemaker_core::recommender::RankOptions;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, RankedList, RecQuery, Recommender};
use tastemaker_nn::transformer::{Frozen, Input};

use super::{FitContext, failed};
use crate::Result;
use crate::paradigms::ItemPrompt;
use crate::tokenisations::{Codes, Tokenisation};
use crate::trie::{Beam, MOST_BEAMS, Search};

/// Queries whose items are written together.
const QUERIES_A_PASS: usize = 64;

/// The data as a model over tokens of items sees it.
pub(super) struct Tokenised {
    pub(super) codes: Arc<Codes>,
    pub(super) beams: usize,
    pub(super) data: Dataset,
    pub(super) split: SplitSets,
}

impl Tokenised {
    pub(super) fn new(tokenisation: &Tokenisation, context: &FitContext<'_>) -> Result<Self> {
        let codes = tokenisation.codes(
            (context.data, context.split),
            context.pretrained,
            &context.seeds,
        )?;
        let data = codes.data(context.data);
        let split = codes.split(context.split, &data)?;
        let codes = Arc::new(codes);
        Ok(Self { codes, beams: tokenisation.beams(), data, split })
    }
}

/// A model that writes the tokens of items, of which only those that are some item's can come out.
///
/// Beam search keeps the best beginnings of every length. A beginning's score is the sum of its
/// tokens' logarithms of probability, by softmax over all tokens.
pub(super) struct Generated {
    pub(super) model: Frozen,
    pub(super) codes: Arc<Codes>,
    pub(super) beams: usize,
    /// How the model is shown a history.
    pub(super) prompt: ItemPrompt,
}

impl Generated {
    /// The end of a history in whole items, with room for an item.
    fn tokens(&self, history: &[ItemId]) -> Vec<u32> {
        let length = self.codes.length();
        // The last token of an item is written, and not read.
        let room = (self.model.max_length() + 1).saturating_sub(length) / length;
        let shown = self.prompt.render(history);
        let last = &shown[shown.len().saturating_sub(room)..];
        last.iter().flat_map(|&item| self.codes.of(ItemId(item))).copied().collect()
    }

    /// The best items for each query.
    fn write(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_nn::Result<Vec<Vec<(ItemId, f32)>>> {
        let most = self.beams.max(options.n.min(MOST_BEAMS));
        let all = (self.codes.trie(), |item| self.codes.of(item));
        let search = |query: &RecQuery<'_>| {
            Search::new(all, (query, options), most, self.tokens(query.history))
        };
        let mut searches: Vec<Search<'_>> = queries.iter().map(search).collect();
        for _ in 0..self.codes.length() {
            let scores = self.next(searches.iter().flat_map(Search::beams))?;
            let mut scores = scores.chunks_exact(self.codes.n_tokens() as usize);
            for search in &mut searches {
                search.go_on(&mut scores);
            }
        }
        Ok(searches.into_iter().map(Search::found).collect())
    }

    /// The scores of all tokens after each beginning: [beams of all, tokens].
    fn next<'b>(&self, beams: impl Iterator<Item = &'b Beam>) -> tastemaker_nn::Result<Vec<f32>> {
        let mut sequences: Vec<Vec<u32>> = beams.map(|beam| beam.tokens.clone()).collect();
        // What is found for an empty history is not looked at.
        sequences.iter_mut().filter(|tokens| tokens.is_empty()).for_each(|tokens| tokens.push(0));
        let n_tokens = self.codes.n_tokens() as usize;
        if sequences.is_empty() {
            return Ok(vec![]);
        }
        let hidden = self.model.last_hidden(&Input::of(&sequences))?;
        let mut scores = vec![0.0; sequences.len() * n_tokens];
        self.model.score(&hidden, n_tokens, &mut scores);
        Ok(scores)
    }
}

impl Recommender for Generated {
    fn name(&self) -> &'static str {
        "language-model"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let mut lists = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES_A_PASS) {
            let found = self.write(queries, options).map_err(failed)?;
            for (items, query) in found.into_iter().zip(queries) {
                lists.push(match (query.history, query.candidates) {
                    // To an empty history there is nothing to say: the tie order decides.
                    ([], Some(candidates)) => {
                        options.ties.top_n(candidates.iter().map(|&item| (item, 0.0)), options.n)
                    }
                    ([], None) => {
                        let all = (0..).map(ItemId).take(options.ties.n_items());
                        options.ties.top_n(all.map(|item| (item, 0.0)), options.n)
                    }
                    _ => options.ties.top_n(items.into_iter(), options.n),
                });
            }
        }
        Ok(lists)
    }
}
