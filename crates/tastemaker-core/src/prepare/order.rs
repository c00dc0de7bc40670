//! The total order of each user's interactions.

use std::cmp::Ordering;
use std::fmt::Write as _;

use rand::Rng as _;

use super::options::Ties;
use crate::ids::Vocabulary;
use crate::reading::times;
use crate::rng::SeedTree;
use crate::sources::RawData;

/// The order that was made, and the words for it.
pub(super) struct Order {
    /// The times in seconds, one an interaction of the raw data.
    pub(super) seconds: Option<Vec<f64>>,
    /// The rule, in words.
    pub(super) words: String,
    /// What the times were, in words.
    pub(super) unit_words: String,
}

/// Puts `rows` in order: by user, then by time, then by the rule for ties.
pub(super) fn sort(raw: &RawData, rows: &mut Vec<u32>, ties: Ties) -> Order {
    *rows = grouped(raw, rows);
    let Some(times) = &raw.times else {
        return Order {
            seconds: None,
            words: "the source has no times: each user's interactions stand as in the source"
                .to_owned(),
            unit_words: "none".to_owned(),
        };
    };
    let (factor, unit) = times::unit(times);
    let seconds: Vec<f64> = times.iter().map(|time| time / factor).collect();
    let by_time = |a: &u32, b: &u32| seconds[*a as usize].total_cmp(&seconds[*b as usize]);
    let rule = match ties {
        Ties::SourceOrder => {
            each_user(raw, rows, |user| user.sort_by(by_time)); // a stable sort keeps the order
            "the order in the source".to_owned()
        }
        Ties::ItemId => {
            let rank = ranks(&raw.items);
            let rank_of = |row: &u32| rank[raw.item[*row as usize] as usize];
            each_user(raw, rows, |user| {
                user.sort_by(|a, b| by_time(a, b).then_with(|| rank_of(a).cmp(&rank_of(b))));
            });
            "the item's outside id, then the order in the source".to_owned()
        }
        Ties::Shuffled { seed } => {
            let mut rng = SeedTree::new(seed).child("equal-times").rng();
            let lots: Vec<u64> = (0..raw.len()).map(|_| rng.random()).collect();
            let lot = |row: &u32| lots[*row as usize];
            each_user(raw, rows, |user| {
                user.sort_by(|a, b| by_time(a, b).then_with(|| lot(a).cmp(&lot(b))));
            });
            format!("a lot drawn with seed {seed}")
        }
    };
    Order {
        words: format!("each user's interactions in order of time; at equal times {rule} decides"),
        unit_words: unit_words(times, unit, factor),
        seconds: Some(seconds),
    }
}

/// The rows by user, each user's as they stand in the source (a counting sort).
fn grouped(raw: &RawData, rows: &[u32]) -> Vec<u32> {
    let mut next = vec![0_usize; raw.users.len() + 1];
    for &row in rows {
        next[raw.user[row as usize] as usize + 1] += 1;
    }
    for user in 1..next.len() {
        next[user] += next[user - 1];
    }
    let mut sorted = vec![0; rows.len()];
    for &row in rows {
        let place = &mut next[raw.user[row as usize] as usize];
        sorted[*place] = row;
        *place += 1;
    }
    sorted
}

/// Calls `sort` with each user's rows, which stand together.
fn each_user(raw: &RawData, rows: &mut [u32], sort: impl Fn(&mut [u32])) {
    for user in rows.chunk_by_mut(|a, b| raw.user[*a as usize] == raw.user[*b as usize]) {
        sort(user);
    }
}

/// The place of each item when all are sorted by outside id.
fn ranks(items: &Vocabulary) -> Vec<u32> {
    let mut ids: Vec<(usize, &str)> = items.iter().enumerate().collect();
    ids.sort_by(|a, b| compare_ids(a.1, b.1));
    let mut ranks = vec![0; ids.len()];
    for (rank, (item, _)) in (0..).zip(ids) {
        ranks[item] = rank;
    }
    ranks
}

/// Whole numbers by size and before everything else; everything else by bytes.
fn compare_ids(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// What the times were and what was made of them.
fn unit_words(times: &[f64], unit: &str, factor: f64) -> String {
    #[expect(clippy::float_cmp, reason = "units are the constants of `times::unit`")]
    let strangers = times.iter().filter(|&&t| t != 0.0 && times::unit(&[t]).0 != factor).count();
    let mut words = format!("{unit} since 1970, told by the median");
    if unit != "seconds" {
        words.push_str("; converted to seconds");
    }
    if strangers > 0 {
        let all = times.len();
        let _ = write!(
            words,
            "; {strangers} of {all} times are so far from it that their unit may be another"
        );
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_by_size_and_before_words() {
        let mut ids = vec!["b", "10", "9", "a", "09"];
        ids.sort_by(|a, b| compare_ids(a, b));
        assert_eq!(ids, ["09", "9", "10", "a", "b"]);
    }
}
