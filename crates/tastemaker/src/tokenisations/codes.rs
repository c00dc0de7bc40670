//! Items as sequences of tokens.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use tastemaker_core::splits::{SplitSets, UserCuts};
use tastemaker_core::{Dataset, Interactions, ItemId, SeedTree, artifact};

use crate::Result;
use crate::trie::Trie;

/// The tokens of every item of a catalog, the same number for each.
#[derive(Clone, Debug)]
pub struct Codes {
    length: usize,
    /// [items, length].
    tokens: Vec<u32>,
    n_tokens: u32,
    trie: Trie,
}

impl Codes {
    /// Of each level the code of each item, below `codes`; items with the same are counted by one
    /// more token, in a random order.
    pub fn new(of_levels: &[Vec<u32>], codes: usize, seeds: &SeedTree) -> Self {
        let n_items = of_levels.first().map_or(0, Vec::len);
        let (levels, codes) = (of_levels.len(), u32::try_from(codes).expect("codes are few"));
        let length = levels + 1;
        let mut tokens = vec![0; n_items * length];
        let mut order: Vec<usize> = (0..n_items).collect();
        order.shuffle(&mut seeds.child("collisions").rng());
        let mut met: HashMap<Vec<u32>, u32> = HashMap::new();
        let first = |level: usize| u32::try_from(level).expect("levels are few") * codes;
        for item in order {
            let own: Vec<u32> =
                of_levels.iter().enumerate().map(|(l, of)| first(l) + of[item]).collect();
            let count = met.entry(own.clone()).or_default();
            let row = &mut tokens[item * length..][..length];
            row[..levels].copy_from_slice(&own);
            row[levels] = first(levels) + *count;
            *count += 1;
        }
        let n_tokens = first(levels) + met.values().max().copied().unwrap_or_default();
        let rows = (0..).map(ItemId).zip(tokens.chunks_exact(length.max(1)));
        let trie = Trie::new(rows);
        Self { length, tokens, n_tokens, trie }
    }

    /// Tokens an item.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many tokens there are.
    pub fn n_tokens(&self) -> u32 {
        self.n_tokens
    }

    /// The tokens of `item`.
    pub fn of(&self, item: ItemId) -> &[u32] {
        &self.tokens[item.index() * self.length..][..self.length]
    }

    /// All items by their tokens.
    pub(crate) fn trie(&self) -> &Trie {
        &self.trie
    }

    /// The data set in which every interaction is its item's tokens, one after the other.
    pub fn data(&self, data: &Dataset) -> Dataset {
        let tokens = |item: &ItemId| self.of(*item).iter().copied().map(ItemId);
        let sequence = |user| -> Vec<ItemId> {
            data.interactions.sequence(user).iter().flat_map(tokens).collect()
        };
        let all: Vec<String> = self.tokens.iter().map(ToString::to_string).collect();
        let hash = artifact::sha256(format!("{} {}", data.hash, all.join(" ")).as_bytes());
        Dataset {
            name: data.name.clone(),
            hash,
            users: data.users.clone(),
            items: (0..self.n_tokens).map(|token| token.to_string()).collect(),
            interactions: Interactions::from_sequences(data.interactions.users().map(sequence)),
            people: data.people.clone(),
            ..Dataset::default()
        }
    }

    /// The split of [`Codes::data`] that `split` is of the items.
    pub fn split(&self, split: &SplitSets, tokens: &Dataset) -> Result<SplitSets> {
        let length = u32::try_from(self.length).expect("items are few tokens");
        cut_anew(split, tokens, |position| position * length)
    }

    /// The split of the items that `split` is of [`Codes::data`].
    pub(crate) fn split_of_items(&self, split: &SplitSets, items: &Dataset) -> Result<SplitSets> {
        let length = u32::try_from(self.length).expect("items are few tokens");
        cut_anew(split, items, |position| position / length)
    }
}

/// The split with every cut at another position.
fn cut_anew(split: &SplitSets, data: &Dataset, at: impl Fn(u32) -> u32) -> Result<SplitSets> {
    let cuts = data.interactions.users().map(|user| {
        let cuts = split.cuts(user);
        let range = |range: &std::ops::Range<u32>| at(range.start)..at(range.end);
        UserCuts {
            train_end: at(cuts.train_end),
            validation: range(&cuts.validation),
            test: range(&cuts.test),
        }
    });
    Ok(SplitSets::new(split.name(), data, cuts.collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::UserId;
    use tastemaker_core::splits::{LeaveLastOut, Split};

    #[test]
    fn every_item_has_tokens_of_its_own_and_data_and_split_follow() {
        let seeds = SeedTree::new(1);
        let codes = Codes::new(&[vec![0, 1, 0, 0], vec![2, 2, 2, 1]], 3, &seeds);
        assert_eq!((codes.length(), codes.n_tokens()), (3, 8));
        let of = |item| codes.of(ItemId(item));
        assert_eq!((of(1), of(3)), (&[1, 5, 6][..], &[0, 4, 6][..]));
        // The first and the third have the same codes.
        let mut same = [of(0), of(2)];
        same.sort();
        assert_eq!(same, [&[0, 5, 6], &[0, 5, 7]]);
        let sequence = |items: [u32; 4]| items.map(ItemId).to_vec();
        let data = Dataset {
            users: (0..2).map(|user| user.to_string()).collect(),
            items: (0..4).map(|item| item.to_string()).collect(),
            interactions: Interactions::from_sequences([
                sequence([0, 1, 2, 3]),
                sequence([3, 3, 1, 0]),
            ]),
            ..Dataset::default()
        };
        let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
        let tokens = codes.data(&data);
        assert_eq!(tokens.n_items(), 8);
        let of_tokens = codes.split(&split, &tokens).unwrap();
        let train: Vec<u32> =
            of_tokens.train(&tokens, UserId(1)).iter().map(|token| token.0).collect();
        assert_eq!(train, [0, 4, 6, 0, 4, 6]);
        let back = codes.split_of_items(&of_tokens, &data).unwrap();
        assert_eq!(back, split);
    }
}
