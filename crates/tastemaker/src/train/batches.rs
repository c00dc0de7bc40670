//! Sequences, cut, shuffled and packed.

use std::sync::Arc;

use tastemaker_core::{ItemId, SeedTree};
use tastemaker_nn::fused::{AttentionMask, Lanes};
use tastemaker_nn::transformer::Input;

use super::{Facts, Window};
use crate::objectives::Objective;

/// A few sequences packed one after the other, and what is asked of them.
#[derive(Debug)]
pub struct Batch {
    /// The sequences.
    pub input: Input,
    /// The rows of the tokens at which something is asked; `None` where it is all of them.
    pub rows: Option<Vec<u32>>,
    /// The item that is right at each asked row, if that is what is asked.
    pub targets: Vec<u32>,
    /// Whole numbers of the objective's own.
    pub numbers: Vec<u32>,
    /// Yes or no, as 1 and 0, where the objective asks that.
    pub labels: Vec<f32>,
    /// Items in the catalog; tokens from here on are no items.
    pub n_items: u32,
}

impl Batch {
    /// How many questions there are: by this much a batch counts among the parts of a step.
    pub fn n_asked(&self) -> usize {
        self.rows.as_ref().map_or(self.input.tokens.len(), Vec::len)
    }
}

/// Packs sequences into a [`Batch`].
#[derive(Debug)]
pub struct BatchBuilder {
    n_items: u32,
    tokens: Vec<u32>,
    lengths: Vec<usize>,
    rows: Vec<u32>,
    targets: Vec<u32>,
    /// The places of the tokens, where they are not where they stand.
    places: Vec<u32>,
    /// For each sequence, for each of its tokens, whether it sees each of them.
    sees: Vec<Vec<bool>>,
    /// What each view says of the items of the window that is asked about.
    of_window: Vec<Vec<u32>>,
    /// The place in that window of the next sequence's first token.
    first: usize,
    /// What each view says of the tokens.
    views: Vec<Vec<u32>>,
    /// What a personal prompt is told of the window's user, if there is one.
    profile: Option<Vec<u32>>,
    /// For each sequence, what it is told of its user.
    profiles: Vec<Vec<u32>>,
    /// The times of the items of that window, where they are looked at.
    times_of_window: Option<Vec<f64>>,
    /// The times of the tokens, where any is looked at.
    times: Vec<f64>,
    /// What an encoder reads of each sequence before.
    encoded: Option<Box<BatchBuilder>>,
    /// Whole numbers of the objective's own.
    pub numbers: Vec<u32>,
    /// Yes or no, as 1 and 0.
    pub labels: Vec<f32>,
}

impl BatchBuilder {
    /// An empty batch over a catalog of `n_items`.
    pub fn new(n_items: u32) -> Self {
        Self {
            n_items,
            tokens: vec![],
            lengths: vec![],
            rows: vec![],
            targets: vec![],
            places: vec![],
            sees: vec![],
            of_window: vec![],
            first: 0,
            views: vec![],
            profile: None,
            profiles: vec![],
            times_of_window: None,
            times: vec![],
            encoded: None,
            numbers: vec![],
            labels: vec![],
        }
    }

    /// What follows is asked about this window.
    fn about(&mut self, window: &Window<'_>, facts: &Facts<'_>, profile: Option<&[u32]>) {
        let views = facts.views(window);
        self.views.resize(views.len(), vec![]);
        (self.of_window, self.first) = (views, 0);
        self.profile = profile.map(<[u32]>::to_vec);
        self.times_of_window = facts.times(window).map(<[f64]>::to_vec);
    }

    /// The tokens of the sequences that follow begin at this place of the window, not at its first:
    /// so views and times know of which item a token is. `None`: they are of no place.
    pub fn begin_at(&mut self, place: Option<usize>) {
        self.first = place.unwrap_or(usize::MAX);
    }

    /// The token that hides an item.
    pub fn mask(&self) -> u32 {
        self.n_items
    }

    /// The token that asks for an item beside the one that hides it.
    pub fn pseudo_mask(&self) -> u32 {
        self.n_items + 1
    }

    /// Adds what an encoder reads before the next sequence: the tokens of the window's first items.
    pub fn push_encoded(&mut self, tokens: impl Iterator<Item = u32>) {
        let encoded = self.encoded.get_or_insert_with(|| Box::new(Self::new(self.n_items)));
        encoded.views.resize(self.of_window.len(), vec![]);
        (encoded.of_window, encoded.first) = (self.of_window.clone(), self.first);
        encoded.times_of_window.clone_from(&self.times_of_window);
        encoded.profile.clone_from(&self.profile);
        encoded.begin(tokens);
    }

    /// Adds a sequence and the items that are right at some of its places.
    pub fn push(
        &mut self,
        tokens: impl Iterator<Item = u32>,
        asked: impl Iterator<Item = (usize, ItemId)>,
    ) {
        let start = self.begin(tokens);
        for (place, target) in asked {
            self.ask(start + place);
            self.targets.push(target.0);
        }
    }

    /// Adds a sequence of which its last token is asked something.
    pub fn push_whole(&mut self, tokens: impl Iterator<Item = u32>) {
        self.begin(tokens);
        self.ask(self.tokens.len() - 1);
    }

    /// Adds a sequence whose tokens stand at other places, and see what `sees` says of a token and
    /// another.
    pub fn push_masked(
        &mut self,
        tokens: impl Iterator<Item = (u32, u32)>,
        sees: impl Fn(usize, usize) -> bool,
        asked: impl Iterator<Item = (usize, ItemId)>,
    ) {
        let (tokens, places): (Vec<u32>, Vec<u32>) = tokens.unzip();
        let n = tokens.len();
        self.places.extend(places);
        self.sees.push((0..n * n).map(|i| sees(i / n, i % n)).collect());
        self.push(tokens.into_iter(), asked);
    }

    /// Adds a sequence; returns its first row.
    fn begin(&mut self, tokens: impl Iterator<Item = u32>) -> usize {
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        let n = self.tokens.len() - start;
        self.lengths.push(n);
        self.profiles.extend(self.profile.clone());
        let places = (0..n).map(|token| match self.places.get(start + token) {
            Some(&place) => place as usize,
            None => token,
        });
        for (views, of_window) in self.views.iter_mut().zip(&self.of_window) {
            let of = |place: usize| of_window.get(self.first.saturating_add(place)).copied();
            views.extend(places.clone().map(|place| of(place).unwrap_or(0)));
        }
        if let Some(times) = &self.times_of_window {
            // When a hidden item was met is as unknown as when the next one will be.
            let known = self.tokens[start..].iter().map(|&token| token < self.n_items);
            let of = |place: usize| times.get(self.first.saturating_add(place)).copied();
            let time = |(place, known): (usize, bool)| of(place).filter(|_| known);
            let new = places.zip(known).map(|at| time(at).unwrap_or(f64::NAN));
            self.times.resize(start, f64::NAN);
            self.times.extend(new);
        }
        start
    }

    fn ask(&mut self, row: usize) {
        self.rows.push(u32::try_from(row).expect("a batch has fewer than 2^32 tokens"));
    }

    /// The batch.
    pub fn build(self) -> Batch {
        let all = self.rows.len() == self.tokens.len();
        let lengths = self.lengths.clone();
        let encoded = self.encoded.map(|encoded| Arc::new(encoded.build().input));
        let lanes = Arc::new(match &encoded {
            None => Lanes::new(self.lengths),
            Some(encoded) => Lanes::reading(self.lengths, &encoded.lanes),
        });
        let sees = |sequence: usize, token: usize, other: usize| {
            self.sees[sequence][token * lengths[sequence] + other]
        };
        let mask = (!self.sees.is_empty()).then(|| Arc::new(AttentionMask::new(&lanes, sees)));
        let places = (!self.places.is_empty()).then_some(self.places);
        let views = self.views.into_iter().map(Arc::from).collect();
        let times = self.times_of_window.is_some().then(|| self.times.into());
        Batch {
            input: Input {
                tokens: self.tokens.into(),
                lanes,
                places,
                mask,
                views,
                times,
                profiles: self.profiles.into(),
                encoded,
            },
            rows: (!all).then_some(self.rows),
            targets: self.targets,
            numbers: self.numbers,
            labels: self.labels,
            n_items: self.n_items,
        }
    }
}

/// Which windows are learnt from together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// This many windows.
    Sequences(usize),
    /// As many windows as have this many items together, at least one.
    Tokens(usize),
}

impl BatchSize {
    /// Cuts an epoch's windows into batches.
    pub fn cut<'w, 'a>(self, windows: &'w [Window<'a>]) -> Vec<&'w [Window<'a>]> {
        match self {
            Self::Sequences(n) => windows.chunks(n).collect(),
            Self::Tokens(budget) => {
                let (mut batches, mut start, mut tokens) = (Vec::new(), 0, 0);
                for (i, window) in windows.iter().enumerate() {
                    if i > start && tokens + window.items.len() > budget {
                        batches.push(&windows[start..i]);
                        (start, tokens) = (i, 0);
                    }
                    tokens += window.items.len();
                }
                if start < windows.len() {
                    batches.push(&windows[start..]);
                }
                batches
            }
        }
    }
}

/// Packs `windows` as `objective` asks, with the random choices of `seeds`, in as many parts as
/// `parts` says and there are windows for.
pub fn pack(
    objective: &dyn Objective,
    windows: &[Window<'_>],
    facts: &Facts<'_>,
    seeds: &SeedTree,
    parts: usize,
) -> Vec<Batch> {
    let mut rng = seeds.rng();
    let a_part = windows.len().div_ceil(parts).max(1);
    windows
        .chunks(a_part)
        .map(|windows| {
            let mut batch = BatchBuilder::new(facts.n_items);
            for window in windows {
                for profile in facts.told(window) {
                    batch.about(window, facts, profile);
                    objective.ask(window, facts, &mut rng, &mut batch);
                }
            }
            batch.build()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tastemaker_core::UserId;

    use super::*;

    #[test]
    fn batches_stay_within_the_budget_and_leave_nothing_out() {
        let items = [ItemId(0); 9];
        let lengths = [3, 4, 2, 9, 1, 1, 1, 5, 4];
        let window =
            |&length: &usize| Window { user: UserId(0), first: 0, items: &items[..length] };
        let windows: Vec<Window<'_>> = lengths.iter().map(window).collect();
        let lengths_of = |batches: Vec<&[Window<'_>]>| -> Vec<Vec<usize>> {
            let lengths = |batch: &&[Window<'_>]| batch.iter().map(|w| w.items.len()).collect();
            batches.iter().map(lengths).collect()
        };
        let batches = lengths_of(BatchSize::Tokens(8).cut(&windows));
        assert_eq!(batches, [vec![3, 4], vec![2], vec![9], vec![1, 1, 1, 5], vec![4]]);
        let batches = lengths_of(BatchSize::Sequences(4).cut(&windows));
        assert_eq!(batches, [vec![3, 4, 2, 9], vec![1, 1, 1, 5], vec![4]]);
    }
}
