//! The steps on rows: which interactions are kept, and in which order.

use super::manifest::{Counts, Step};
use super::options::{PrepareOptions, Repeats};
use super::order::{self, Order};
use crate::sources::RawData;

/// Runs all steps; the rows that are kept come by user and in order of time.
pub(super) fn run(raw: &RawData, options: &PrepareOptions) -> (Vec<u32>, Vec<Step>, Order) {
    let mut rows: Vec<u32> = (0..).take(raw.len()).collect();
    let mut steps = vec![Step::new("read", raw.format.clone(), counts(raw, &rows))];
    if let Some(least) = options.min_value {
        let words = match &raw.values {
            Some(values) => {
                rows.retain(|&row| values[row as usize] >= least);
                format!("interactions with a value below {least} left out")
            }
            None => "the source has no values: min-value left out nothing".to_owned(),
        };
        steps.push(Step::new("min-value", words, counts(raw, &rows)));
    }
    let order = order::sort(raw, &mut rows, options.ties);
    steps.push(Step::new("order", order.words.clone(), counts(raw, &rows)));
    let words = repeats(raw, &mut rows, options.repeats);
    steps.push(Step::new("repeats", words, counts(raw, &rows)));
    if options.user_core > 1 || options.item_core > 1 {
        let rounds = core(raw, &mut rows, options.user_core, options.item_core);
        let words = format!(
            "users with fewer than {} and items with fewer than {} interactions left out until \
             none was left ({rounds} rounds)",
            options.user_core, options.item_core
        );
        steps.push(Step::new("core", words, counts(raw, &rows)));
    }
    (rows, steps, order)
}

/// How many users, items and interactions are in `rows`.
fn counts(raw: &RawData, rows: &[u32]) -> Counts {
    let mut users = vec![false; raw.users.len()];
    let mut items = vec![false; raw.items.len()];
    for &row in rows {
        users[raw.user[row as usize] as usize] = true;
        items[raw.item[row as usize] as usize] = true;
    }
    let count = |seen: &[bool]| seen.iter().filter(|&&seen| seen).count();
    Counts { users: count(&users), items: count(&items), interactions: rows.len() }
}

/// Reduces repeated pairs of a user and an item; the rows stand by user, in order of time.
fn repeats(raw: &RawData, rows: &mut Vec<u32>, policy: Repeats) -> String {
    let words = match policy {
        Repeats::All => return "repeated user-item pairs all kept".to_owned(),
        Repeats::First => "of repeated user-item pairs the earliest kept",
        Repeats::Last => "of repeated user-item pairs the latest kept",
    };
    // Whether a user had an item is answered by the last user who had it.
    let mut last_user = vec![None; raw.items.len()];
    let mut keep = |row: &u32| {
        let (user, item) = (raw.user[*row as usize], raw.item[*row as usize] as usize);
        last_user[item].replace(user) != Some(user)
    };
    if policy == Repeats::Last {
        rows.reverse();
    }
    rows.retain(|row| keep(row));
    if policy == Repeats::Last {
        rows.reverse();
    }
    words.to_owned()
}

/// Leaves out users and items with too few interactions until none is left; says how many
/// rounds that took.
fn core(raw: &RawData, rows: &mut Vec<u32>, user_core: usize, item_core: usize) -> usize {
    for round in 1.. {
        let mut users = vec![0_usize; raw.users.len()];
        let mut items = vec![0_usize; raw.items.len()];
        for &row in rows.iter() {
            users[raw.user[row as usize] as usize] += 1;
            items[raw.item[row as usize] as usize] += 1;
        }
        let before = rows.len();
        rows.retain(|&row| {
            users[raw.user[row as usize] as usize] >= user_core
                && items[raw.item[row as usize] as usize] >= item_core
        });
        if rows.len() == before {
            return round;
        }
    }
    0 // more rounds than a machine can count
}
