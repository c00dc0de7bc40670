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

    /// The best `n` of `candidates` by descending score, equal scores in this order.
    ///
    /// A score that is not a number counts as the smallest; `f32::NEG_INFINITY` excludes its item.
    pub fn top_n(&self, candidates: impl Iterator<Item = (ItemId, f32)>, n: usize) -> RankedList {
        if n == 0 {
            return RankedList::default();
        }
        // A buffer of 2n cut back to n by selection: amortised constant time a candidate.
        let key = |score: f32| if score.is_nan() { f32::MIN } else { score };
        let order = |a: &(ItemId, f32), b: &(ItemId, f32)| {
            b.1.total_cmp(&a.1).then_with(|| self.place(a.0).cmp(&self.place(b.0)))
        };
        let mut kept: Vec<(ItemId, f32)> = Vec::with_capacity(2 * n);
        let mut bar = f32::NEG_INFINITY;
        for (item, score) in candidates {
            // Adding zero makes -0.0 equal to 0.0.
            let score = key(score) + 0.0;
            if score < bar || score == f32::NEG_INFINITY {
                continue;
            }
            kept.push((item, score));
            if kept.len() == 2 * n {
                kept.select_nth_unstable_by(n - 1, order);
                kept.truncate(n);
                bar = kept[n - 1].1;
            }
        }
        kept.sort_unstable_by(order);
        kept.truncate(n);
        RankedList {
            items: kept.iter().map(|(item, _)| *item).collect(),
            scores: kept.iter().map(|(_, score)| *score).collect(),
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
