//! Items that a model answers with.

use std::sync::Arc;

use tastemaker_core::{ItemId, RankOptions, RankedList, RecQuery, Recommender};
use tastemaker_nn::transformer::{Frozen, Input, Memory};

use super::super::failed;
use super::questions::{Case, Read, Reader, Speech};
use super::tasks::Asked;
use super::{NAME, unsuitable};
use crate::Result;
use crate::error::setting;
use crate::trie::{MOST_BEAMS, Trie, write_items};

/// Queries that are answered together.
const QUERIES_A_PASS: usize = 32;

/// What is asked where items are wanted, and how it is read.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) task: Asked,
    pub(super) speech: Speech,
    pub(super) reader: Reader,
    pub(super) last_items: usize,
}

/// The answers that are items.
#[derive(Debug)]
pub(super) struct Names {
    /// The tokens of each item's name with what ends it; nothing for one without a name.
    tokens: Vec<Vec<u32>>,
    trie: Trie,
    /// Beginnings that are kept.
    beams: usize,
}

/// A model that answers a question by the name of an item; only what is some item's name can come
/// out.
pub(super) struct Written {
    pub(super) model: Frozen,
    pub(super) asking: Arc<Asking>,
    pub(super) names: Arc<Names>,
    /// The token with which a decoder begins that has an encoder.
    pub(super) begin: u32,
}

impl Asking {
    /// The question that is asked for `query`.
    pub(super) fn question(&self, query: &RecQuery<'_>) -> Result<Read> {
        let history = &query.history[query.history.len().saturating_sub(self.last_items)..];
        let candidates = query.candidates.unwrap_or_default().to_vec();
        let case = Case { user: query.user, history, candidates, ..Case::default() };
        self.reader.question(&self.speech, &self.task.question, &case)
    }
}

impl Names {
    /// Of items with these names, as answers are read.
    ///
    /// # Errors
    /// If a name is longer than answers are.
    pub(super) fn new(names: &[String], reader: &Reader, beams: usize) -> Result<Self> {
        let mut tokens = reader.tokenizer.encode_as_it_is(names)?;
        for (own, name) in tokens.iter_mut().zip(names).filter(|(own, _)| !own.is_empty()) {
            if own.len() >= reader.most.1 {
                let found = format!("room for {} tokens of an answer", reader.most.1 - 1);
                let expected = format!("{} or more, which {name:?} needs", own.len());
                return Err(setting("max-length", found, expected).at("backbone"));
            }
            own.push(reader.end);
        }
        let trie = Trie::new((0..).map(ItemId).zip(tokens.iter().map(Vec::as_slice)));
        Ok(Self { tokens, trie, beams })
    }
}

impl Written {
    /// The best items for each query.
    fn write(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> Result<Vec<Vec<(ItemId, f32)>>> {
        let questions = queries.iter().map(|query| Ok(self.asking.question(query)?.tokens));
        let mut questions = questions.collect::<Result<Vec<Vec<u32>>>>()?;
        never_empty(self.begin, &mut questions);
        let names = (&self.names.trie, |item: ItemId| &self.names.tokens[item.index()][..]);
        let most = self.names.beams.max(options.n.min(MOST_BEAMS));
        let model = (&self.model, self.begin);
        Ok(write_items(model, names, (queries, options), most, questions)?)
    }
}

/// A question that is empty, which a transformer cannot read, becomes the token with which a decoder
/// begins.
fn never_empty(begin: u32, questions: &mut [Vec<u32>]) {
    questions.iter_mut().filter(|tokens| tokens.is_empty()).for_each(|t| t.push(begin));
}

/// What an encoder, if there is one, finds in questions, none of which is left empty.
pub(super) fn read(
    model: &Frozen,
    begin: u32,
    questions: &mut [Vec<u32>],
) -> Result<Option<Memory>> {
    never_empty(begin, questions);
    Ok(model.memory(&Input::of(questions))?)
}

impl Recommender for Written {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let names_candidates = self.asking.task.speaks_of("candidates");
        if names_candidates && queries.iter().any(|query| query.candidates.is_none()) {
            let reason = "its question names candidates, so it ranks among sampled items alone";
            return Err(failed(NAME)(unsuitable(reason)));
        }
        let mut lists = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES_A_PASS) {
            let found = self.write(queries, options).map_err(failed(NAME))?;
            lists.extend(
                found.into_iter().map(|items| options.ties.top_n(items.into_iter(), options.n)),
            );
        }
        Ok(lists)
    }
}
