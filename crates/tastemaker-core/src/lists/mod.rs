//! Lists of other tools, and what they should have held: files that are read and written.
//!
//! Formats are tables (CSV, TSV, JSON lines, Parquet) and the files of TREC: runs
//! (`user Q0 item rank score tag`) and qrels (`user 0 item relevance`); candidates can be a list a line, too.
//!
//! Ids are kept once, rows as numbers in columns; the rows of a user stand one after the other.

mod candidates;
mod read;
mod rows;
mod trec;
mod write;

use std::ops::Range;

use crate::ids::ItemId;
use crate::ranked::{RankedList, TieOrder};

pub use candidates::read_candidates;
pub use read::{Columns, Items, Relevant, read_lists, read_relevant};
pub use write::{ListedRow, write_lists, write_qrels};

/// By what a user's items are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By a column with ranks.
    Rank(String),
    /// By a column with scores, the highest first.
    Score(String),
    /// As they stand in the file.
    File,
}

/// Lists of many users.
#[derive(Clone, Debug, PartialEq)]
pub struct Lists {
    order: Order,
    /// Where the rows of each user begin and end.
    ranges: Vec<(u32, u32)>,
    items: Vec<ItemId>,
    /// What the rows are in order by, the highest first; empty where they are in order.
    keys: Vec<f64>,
    unknown_users: usize,
}

impl Lists {
    /// By what a user's items are in order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// How many users the file names that are none of those who were known.
    pub fn unknown_users(&self) -> usize {
        self.unknown_users
    }

    /// How long the list of each user is.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().map(|(begin, end)| (end - begin) as usize)
    }

    /// The items of `user`, by number, as they stand in the file.
    pub fn items(&self, user: usize) -> &[ItemId] {
        &self.items[self.rows(user)]
    }

    fn rows(&self, user: usize) -> Range<usize> {
        let (begin, end) = self.ranges[user];
        begin as usize..end as usize
    }

    /// Puts the items of `user` in order into `list`, equals as `ties` has them. Where there are no
    /// scores, ranks and places stand for them.
    pub fn ranked(&self, user: usize, ties: &TieOrder, list: &mut RankedList) {
        list.items.clear();
        list.scores.clear();
        let items = self.items(user);
        if self.keys.is_empty() {
            list.items.extend_from_slice(items);
            list.scores.extend((0..items.len()).map(|place| -(place as f32)));
            return;
        }
        let keys = &self.keys[self.rows(user)];
        #[expect(clippy::cast_possible_truncation, reason = "scores of lists are single")]
        let single = |key: f64| key as f32;
        if keys.windows(2).all(|two| two[0] > two[1]) {
            list.items.extend_from_slice(items);
            list.scores.extend(keys.iter().map(|&key| single(key)));
            return;
        }
        let mut order: Vec<(f64, ItemId)> =
            keys.iter().copied().zip(items.iter().copied()).collect();
        // Adding zero makes -0.0 equal to 0.0.
        order.sort_unstable_by(|a, b| {
            let keys = (b.0 + 0.0).total_cmp(&(a.0 + 0.0));
            keys.then_with(|| ties.place(a.1).cmp(&ties.place(b.1)))
        });
        list.items.extend(order.iter().map(|(_, item)| *item));
        list.scores.extend(order.iter().map(|(key, _)| single(*key)));
    }
}

#[cfg(test)]
mod tests;
