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

/// Packs `windows` as `objective` asks, with the random choices of `seeds`.
pub fn pack(
    objective: &dyn Objective,
    windows: &[&[ItemId]],
    n_items: u32,
    seeds: &SeedTree,
) -> Batch {
    let (mut rng, mut batch) = (seeds.rng(), BatchBuilder::new(n_items));
    for window in windows {
        objective.ask(window, &mut rng, &mut batch);
    }
    batch.build()
}
