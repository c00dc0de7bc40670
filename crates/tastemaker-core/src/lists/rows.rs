//! Rows as they come, and put together by user.

use super::{Lists, Order};
use crate::ids::ItemId;

/// Columns of rows; those of a user can stand anywhere.
#[derive(Default)]
pub(super) struct Rows {
    users: Vec<u32>,
    items: Vec<ItemId>,
    /// What the rows of a user are in order by; empty where they are in order.
    keys: Vec<f64>,
}

impl Rows {
    /// Takes note of a row.
    pub(super) fn push(&mut self, user: u32, item: ItemId, key: Option<f64>) -> Result<(), String> {
        if self.users.len() == u32::MAX as usize {
            return Err(format!("is one of more than {} rows, which are not read", u32::MAX));
        }
        self.users.push(user);
        self.items.push(item);
        self.keys.extend(key);
        Ok(())
    }

    /// The rows of each of `n_users` users together, in the order in which they came.
    ///
    /// # Errors
    /// The first user, by number, who has an item twice, and the item.
    pub(super) fn group(self, n_users: usize, order: Order) -> Result<Lists, (u32, ItemId)> {
        let Self { mut users, mut items, mut keys } = self;
        let mut starts = vec![0; n_users + 1];
        for &user in &users {
            starts[user as usize + 1] += 1;
        }
        for user in 0..n_users {
            starts[user + 1] += starts[user];
        }
        if !users.is_sorted() {
            // From here on users are the places where the rows belong.
            let mut next = starts.clone();
            for user in &mut users {
                let place = &mut next[*user as usize];
                *user = u32::try_from(*place).expect("as many rows as were pushed");
                *place += 1;
            }
            permute(&mut users, &mut items, &mut keys);
        }
        drop(users);
        let n_items = items.iter().map(|item| item.index() + 1).max().unwrap_or_default();
        let mut last = vec![u32::MAX; n_items];
        for (user, rows) in (0..).zip(starts.windows(2)) {
            for item in &items[rows[0]..rows[1]] {
                if std::mem::replace(&mut last[item.index()], user) == user {
                    return Err((user, *item));
                }
            }
        }
        Ok(Lists { order, starts, items, keys, unknown_users: 0 })
    }
}

/// Brings each row to its place, without a second copy of the rows.
fn permute(places: &mut [u32], items: &mut [ItemId], keys: &mut [f64]) {
    for row in 0..places.len() {
        while places[row] as usize != row {
            let place = places[row] as usize;
            items.swap(row, place);
            if !keys.is_empty() {
                keys.swap(row, place);
            }
            places.swap(row, place);
        }
    }
}
