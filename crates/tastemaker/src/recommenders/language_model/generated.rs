//! A trained language model that writes items token by token.

use std::sync::Arc;

use tastemaker_core::recommender::RankOptions;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, RankedList, RecQuery, Recommender};
use tastemaker_nn::transformer::Frozen;

use super::{FitContext, failed};
use crate::Result;
use crate::paradigms::ItemPrompt;
use crate::tokenisations::{Codes, Tokenisation};
use crate::trie::{MOST_BEAMS, write_items};

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

/// How many items of `length` tokens a history can show to a model that reads `max_length`; where there is
/// no encoder, with room for the one that is written.
pub(super) fn room((max_length, length): (usize, usize), has_encoder: bool) -> usize {
    // The last token of an item is written, and not read.
    let written = if has_encoder { 0 } else { length - 1 };
    max_length.saturating_sub(written) / length
}

impl Generated {
    /// The end of a history in whole items, with room for an item where one stack reads and writes.
    fn tokens(&self, history: &[ItemId]) -> Vec<u32> {
        let (model, length) = (&self.model, self.codes.length());
        let room = room((model.max_length(), length), model.has_encoder());
        let shown = self.prompt.render(history);
        let last = &shown[shown.len().saturating_sub(room)..];
        let tokens = last.iter().flat_map(|&item| self.codes.of(ItemId(item))).copied();
        let tokens: Vec<u32> = tokens.collect();
        // What is found for an empty history is not looked at.
        if tokens.is_empty() { vec![0] } else { tokens }
    }

    /// The best items for each query.
    fn write(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_nn::Result<Vec<Vec<(ItemId, f32)>>> {
        let most = self.beams.max(options.n.min(MOST_BEAMS));
        let all = (self.codes.trie(), |item| self.codes.of(item));
        let read: Vec<Vec<u32>> = queries.iter().map(|query| self.tokens(query.history)).collect();
        // After an encoder has read the history, a decoder begins with the mask.
        write_items((&self.model, self.codes.n_tokens()), all, (queries, options), most, read)
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
