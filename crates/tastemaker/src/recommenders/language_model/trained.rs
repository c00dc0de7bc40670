//! A trained language model as a recommender.

use std::sync::Arc;

use rayon::prelude::*;
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{Interactions, ItemId, RankedList, RecQuery, Recommender, TopN};
use tastemaker_nn::backbones::Views;
use tastemaker_nn::fused::{Keeper, Lanes, RANKED_ROWS};
use tastemaker_nn::transformer::{Frozen, Input, Sides};

use super::failed;
use crate::paradigms::ItemPrompt;
use crate::train::{Profiles, view_numbers};

/// Queries whose histories are read together.
const QUERIES_A_PASS: usize = 1024;

/// A trained language model as a recommender.
pub(super) struct Trained {
    pub(super) model: Frozen,
    /// Where the model sees both sides, the mask stands in the place of the next item.
    pub(super) sides: Sides,
    pub(super) n_items: usize,
    /// How the model is shown a history.
    pub(super) prompt: ItemPrompt,
    /// What the backbone is told beside items, if anything.
    pub(super) told: Option<Told>,
    /// What a personal prompt is told of users, if there is one.
    pub(super) profiles: Option<Profiles>,
}

/// What a backbone is told beside items.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) views: Views,
    /// Whether it looks at the time between items.
    pub(super) intervals: bool,
    /// Known users' times.
    pub(super) interactions: Arc<Interactions>,
    /// The return that is asked for, at every place; 0 for none.
    pub(super) prompted_return: u32,
}

impl Trained {
    /// The end of a history as the model reads it; a model that hides items finds the mask in the
    /// place of the next one. To an empty history a decoder has nothing to say: its items score
    /// alike, and the tie order decides.
    fn tokens(&self, query: &RecQuery<'_>) -> Vec<u32> {
        let masks = self.sides == Sides::Both;
        let room = self.model.max_length() - usize::from(masks);
        let mut tokens = self.prompt.render(query.history);
        tokens.drain(..tokens.len().saturating_sub(room));
        if masks {
            tokens.push(self.mask());
        }
        tokens
    }

    /// The tokens of each query with what the model is told beside them. Of a history that is
    /// not the beginning of a known user's, or that the prompt says twice, no time is known; nor is
    /// that of the mask.
    fn input(&self, queries: &[RecQuery<'_>], sequences: &[Vec<u32>]) -> Input {
        let profiles = self.profiles.iter();
        let profiles = profiles.flat_map(|of| queries.iter().map(|q| of.of(q.user).to_vec()));
        let input = Input { profiles: profiles.collect(), ..Input::of(sequences) };
        let Some(Told { views, intervals, interactions, prompted_return }) = &self.told else {
            return input;
        };
        let mut all = vec![Vec::new(); views.iter().count()];
        let mut all_times = Vec::new();
        for (query, tokens) in queries.iter().zip(sequences) {
            let n = query.history.len();
            let known = query.user.filter(|user| user.index() < interactions.n_users());
            let user = known.filter(|user| {
                self.prompt.repeat == 0 && interactions.sequence(*user).starts_with(query.history)
            });
            let times = user.and_then(|user| interactions.times(user)).map(|times| &times[..n]);
            let numbers = view_numbers(*views, n, times, |_| *prompted_return);
            let items = tokens.len() - usize::from(self.sides == Sides::Both);
            for (all, numbers) in all.iter_mut().zip(numbers) {
                let known = &numbers[numbers.len().saturating_sub(items)..];
                let end = all.len() + tokens.len();
                all.extend(known);
                all.resize(end, 0);
            }
            if *intervals {
                let known = times.map_or(&[][..], |times| &times[n.saturating_sub(items)..]);
                let end = all_times.len() + tokens.len();
                all_times.extend(known);
                all_times.resize(end, f64::NAN);
            }
        }
        let views = all.into_iter().map(Arc::from).collect();
        Input { views, times: intervals.then(|| all_times.into()), ..input }
    }

    /// What the model finds after each history: [queries, width]. To an empty one a decoder finds
    /// nothing.
    fn hidden(&self, queries: &[RecQuery<'_>]) -> tastemaker_nn::Result<Vec<f32>> {
        let mut sequences: Vec<Vec<u32>> = queries.iter().map(|query| self.tokens(query)).collect();
        let empty: Vec<usize> = (0..sequences.len()).filter(|&i| sequences[i].is_empty()).collect();
        for &i in &empty {
            sequences[i].push(0);
        }
        let input = self.input(queries, &sequences);
        let (mut hidden, width) = (self.states(input)?, self.model.width());
        for i in empty {
            hidden[i * width..(i + 1) * width].fill(0.0);
        }
        Ok(hidden)
    }

    /// What the model finds after each sequence, by its last token or, after an encoder has read it,
    /// by the mask with which the decoder begins.
    fn states(&self, input: Input) -> tastemaker_nn::Result<Vec<f32>> {
        if !self.model.has_encoder() {
            return self.model.last_hidden(&input);
        }
        let n = input.lanes.lengths().len();
        let last = |view: &Arc<[u32]>| input.lanes.last_tokens().map(|token| view[token]).collect();
        let views = input.views.iter().map(last).collect();
        let lanes = Arc::new(Lanes::reading(vec![1; n], &input.lanes));
        let masks = Input::new(vec![self.mask(); n].into(), lanes);
        self.model.last_hidden(&Input { views, encoded: Some(Arc::new(input)), ..masks })
    }

    fn mask(&self) -> u32 {
        u32::try_from(self.n_items).expect("items are numbered in 32 bits")
    }

    fn score(&self, queries: &[RecQuery<'_>], scores: &mut [f32]) -> tastemaker_nn::Result<()> {
        self.model.score(&self.hidden(queries)?, self.n_items, scores);
        Ok(())
    }

    /// Ranks the whole catalog without holding more than a few of its scores.
    fn rank(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_nn::Result<Vec<RankedList>> {
        let hidden = self.hidden(queries)?;
        let hidden = hidden.par_chunks(RANKED_ROWS * self.model.width());
        let lists =
            queries.par_chunks(RANKED_ROWS).zip(hidden).flat_map_iter(|(queries, hidden)| {
                let growing = |query: &RecQuery<'_>| {
                    Growing(TopN::new(options.ties, options.n, options.seen(query)))
                };
                let mut lists: Vec<Growing<'_>> = queries.iter().map(growing).collect();
                self.model.rank(hidden, self.n_items, &mut lists);
                lists.into_iter().map(|list| list.0.finish())
            });
        Ok(lists.collect())
    }
}

impl Recommender for Trained {
    fn name(&self) -> &'static str {
        "language-model"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        if queries.iter().any(|query| query.candidates.is_some()) {
            return rank_by_scores(queries, options, |queries, scores| {
                self.score(queries, scores).map_err(failed)
            });
        }
        let mut lists = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES_A_PASS) {
            lists.extend(self.rank(queries, options).map_err(failed)?);
        }
        Ok(lists)
    }
}

/// A list that grows while items are scored.
struct Growing<'a>(TopN<'a>);

impl Keeper for Growing<'_> {
    fn bar(&self) -> f32 {
        self.0.bar()
    }

    fn offer(&mut self, class: u32, score: f32) {
        self.0.offer(ItemId(class), score);
    }
}
