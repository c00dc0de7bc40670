//! Items in order, and what decides between equal scores.

use rand::seq::SliceRandom;

use crate::ids::ItemId;
use crate::rng::SeedTree;

/// Items in descending order of score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankedList {
    /// The items, best first.
    pub items: Vec<ItemId>,
    /// Their scores, in the same order.
    pub scores: Vec<f32>,
    /// How many names a model that writes them has written.
    pub named: usize,
    /// How many of them are no item that it could name.
    pub invalid: usize,
}

/// Who comes first among equal scores: a seeded permutation of the items.
///
/// Catalog order would favour items by how the file was written (often by popularity or by first
/// appearance), and would let a recommender that gives every item the same score look good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TieOrder {
    place: Vec<u32>,
}

impl TieOrder {
    /// The permutation of `n_items` items that `seeds` gives.
    pub fn new(n_items: usize, seeds: &SeedTree) -> Self {
        let mut place: Vec<u32> =
            (0..u32::try_from(n_items).expect("fewer than 2^32 items")).collect();
        place.shuffle(&mut seeds.rng());
        Self { place }
    }

    /// The order in which item i has place `places[i]`; `None` if that is no permutation.
    pub fn from_places(places: Vec<u32>) -> Option<Self> {
        let mut sorted = places.clone();
        sorted.sort_unstable();
        (0..).zip(sorted).all(|(place, found)| place == found).then_some(Self { place: places })
    }

    /// How many items are ordered.
    pub fn n_items(&self) -> usize {
        self.place.len()
    }

    /// The place of `item` among equals; smaller comes first.
    pub fn place(&self, item: ItemId) -> u32 {
        self.place[item.index()]
    }

    /// Better first.
    fn compare(&self, a: (ItemId, f32), b: (ItemId, f32)) -> std::cmp::Ordering {
        b.1.total_cmp(&a.1).then_with(|| self.place(a.0).cmp(&self.place(b.0)))
    }

    /// The best `n` of `candidates`, as [`TopN`] has them.
    pub fn top_n(&self, candidates: impl Iterator<Item = (ItemId, f32)>, n: usize) -> RankedList {
        let mut best = TopN::new(self, n, &[]);
        for (item, score) in candidates {
            best.offer(item, score);
        }
        best.finish()
    }
}

/// The best n of the items it is offered, by descending score, equal scores in the tie order.
///
/// A score that is not a number counts as the smallest; `f32::NEG_INFINITY` excludes its item.
#[derive(Clone, Debug)]
pub struct TopN<'a> {
    ties: &'a TieOrder,
    n: usize,
    excluded: Vec<ItemId>,
    // A buffer of 2n cut back to n by selection: amortised constant time an item.
    kept: Vec<(ItemId, f32)>,
    bar: f32,
}

impl<'a> TopN<'a> {
    /// Nothing yet; `excluded` items will not be kept.
    pub fn new(ties: &'a TieOrder, n: usize, excluded: &[ItemId]) -> Self {
        let mut excluded = excluded.to_vec();
        excluded.sort_unstable();
        let bar = if n == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { ties, n, excluded, kept: Vec::with_capacity(2 * n), bar }
    }

    /// An item with a score below this need not be offered.
    pub fn bar(&self) -> f32 {
        self.bar
    }

    /// Keeps the item if it is among the best so far. An item is offered once.
    pub fn offer(&mut self, item: ItemId, score: f32) {
        // Adding zero makes -0.0 equal to 0.0.
        let score = if score.is_nan() { f32::MIN } else { score + 0.0 };
        if self.n == 0
            || score < self.bar
            || score == f32::NEG_INFINITY
            || self.excluded.binary_search(&item).is_ok()
        {
            return;
        }
        self.kept.push((item, score));
        if self.kept.len() == 2 * self.n {
            let ties = self.ties;
            self.kept.select_nth_unstable_by(self.n - 1, |a, b| ties.compare(*a, *b));
            self.kept.truncate(self.n);
            self.bar = self.kept[self.n - 1].1;
        }
    }

    /// The list.
    pub fn finish(mut self) -> RankedList {
        self.kept.sort_unstable_by(|a, b| self.ties.compare(*a, *b));
        self.kept.truncate(self.n);
        RankedList {
            items: self.kept.iter().map(|(item, _)| *item).collect(),
            scores: self.kept.iter().map(|(_, score)| *score).collect(),
            named: 0,
            invalid: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(n: u32) -> impl Iterator<Item = ItemId> {
        (0..n).map(ItemId)
    }

    #[test]
    fn equal_scores_follow_the_seeded_permutation_and_not_the_catalog() {
        let ties = TieOrder::new(100, &SeedTree::new(1));
        let list = ties.top_n(items(100).map(|item| (item, 0.5)), 100);
        let places: Vec<u32> = list.items.iter().map(|&item| ties.place(item)).collect();
        assert!(places.is_sorted());
        assert!(!list.items.is_sorted());
    }

    #[test]
    fn the_top_n_is_the_beginning_of_the_whole_order() {
        let ties = TieOrder::new(1000, &SeedTree::new(2));
        let scored = || items(1000).map(|item| (item, (item.0 * 7919 % 23) as f32));
        let whole = ties.top_n(scored(), 1000);
        for n in [1, 2, 10, 999] {
            assert_eq!(ties.top_n(scored(), n).items, whole.items[..n]);
        }
    }

    #[test]
    fn not_a_number_comes_last_and_minus_infinity_never() {
        let ties = TieOrder::new(3, &SeedTree::new(3));
        let scores = [f32::NAN, f32::NEG_INFINITY, -1.0];
        let list = ties.top_n(items(3).zip(scores), 3);
        assert_eq!(list.items, [ItemId(2), ItemId(0)]);
    }
}
