//! Sequences, cut, shuffled and packed.

use std::sync::Arc;

use rand::seq::SliceRandom;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, SeedTree};
use tastemaker_nn::fused::Lanes;

use crate::objectives::Objective;

/// A few sequences packed one after the other, and what is asked of them.
pub struct Batch {
    /// The tokens of all sequences.
    pub tokens: Arc<[u32]>,
    /// How they are divided.
    pub lanes: Arc<Lanes>,
    /// The rows of `tokens` at which something is asked; `None` where it is all of them.
    pub rows: Option<Vec<u32>>,
    /// The item that is right at each asked row.
    pub targets: Vec<u32>,
    /// Items in the catalog; tokens from here on are no items.
    pub n_items: u32,
}

/// Packs sequences into a [`Batch`].
pub struct BatchBuilder {
    n_items: u32,
    tokens: Vec<u32>,
    lengths: Vec<usize>,
    rows: Vec<u32>,
    targets: Vec<u32>,
}

impl BatchBuilder {
    /// An empty batch over a catalog of `n_items`.
    pub fn new(n_items: u32) -> Self {
        Self { n_items, tokens: vec![], lengths: vec![], rows: vec![], targets: vec![] }
    }

    /// The token that hides an item.
    pub fn mask(&self) -> u32 {
        self.n_items
    }

    /// Adds a sequence and the items that are right at some of its places.
    pub fn push(
        &mut self,
        tokens: impl Iterator<Item = u32>,
        asked: impl Iterator<Item = (usize, ItemId)>,
    ) {
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        self.lengths.push(self.tokens.len() - start);
        for (place, target) in asked {
            self.rows
                .push(u32::try_from(start + place).expect("a batch has fewer than 2^32 tokens"));
            self.targets.push(target.0);
        }
    }

    /// The batch.
    pub fn build(self) -> Batch {
        let all = self.rows.len() == self.tokens.len();
        Batch {
            tokens: self.tokens.into(),
            lanes: Arc::new(Lanes::new(self.lengths)),
            rows: (!all).then_some(self.rows),
            targets: self.targets,
            n_items: self.n_items,
        }
    }
}

/// What is learnt from: the training part of every user, cut into windows.
///
/// A window holds at most `longest` items. Longer histories are cut from the end, so that only
/// the oldest window is short; windows of one item teach nothing and are left out. The windows
/// borrow the data set, so an epoch copies no interactions.
pub struct Windows<'a> {
    windows: Vec<&'a [ItemId]>,
}

impl<'a> Windows<'a> {
    /// The windows of the training part.
    pub fn new(data: &'a Dataset, split: &SplitSets, longest: usize) -> Self {
        let windows = data
            .interactions
            .users()
            .flat_map(|user| split.train(data, user).rchunks(longest))
            .filter(|window| window.len() >= 2)
            .collect();
        Self { windows }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Items in all of them.
    pub fn n_tokens(&self) -> usize {
        self.windows.iter().map(|window| window.len()).sum()
    }

    /// Whether there is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The order of an epoch.
    pub fn shuffled(&self, seeds: &SeedTree) -> Vec<&'a [ItemId]> {
        let mut order = self.windows.clone();
        order.shuffle(&mut seeds.rng());
        order
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
    pub fn cut<'w, 'a>(self, windows: &'w [&'a [ItemId]]) -> Vec<&'w [&'a [ItemId]]> {
        match self {
            Self::Sequences(n) => windows.chunks(n).collect(),
            Self::Tokens(budget) => {
                let (mut batches, mut start, mut tokens) = (Vec::new(), 0, 0);
                for (i, window) in windows.iter().enumerate() {
                    if i > start && tokens + window.len() > budget {
                        batches.push(&windows[start..i]);
                        (start, tokens) = (i, 0);
                    }
                    tokens += window.len();
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
    windows: &[&[ItemId]],
    n_items: u32,
    seeds: &SeedTree,
    parts: usize,
) -> Vec<Batch> {
    let mut rng = seeds.rng();
    let a_part = windows.len().div_ceil(parts).max(1);
    windows
        .chunks(a_part)
        .map(|windows| {
            let mut batch = BatchBuilder::new(n_items);
            for window in windows {
                objective.ask(window, &mut rng, &mut batch);
            }
            batch.build()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_stay_within_the_budget_and_leave_nothing_out() {
        let items = [ItemId(0); 9];
        let lengths = [3, 4, 2, 9, 1, 1, 1, 5, 4];
        let windows: Vec<&[ItemId]> = lengths.iter().map(|&length| &items[..length]).collect();
        let lengths_of = |batches: Vec<&[&[ItemId]]>| -> Vec<Vec<usize>> {
            batches.iter().map(|batch| batch.iter().map(|window| window.len()).collect()).collect()
        };
        let batches = lengths_of(BatchSize::Tokens(8).cut(&windows));
        assert_eq!(batches, [vec![3, 4], vec![2], vec![9], vec![1, 1, 1, 5], vec![4]]);
        let batches = lengths_of(BatchSize::Sequences(4).cut(&windows));
        assert_eq!(batches, [vec![3, 4, 2, 9], vec![1, 1, 1, 5], vec![4]]);
    }
}
