//! Rows as they come, and put together by user.

use super::{Lists, Order};
use crate::ids::ItemId;

/// Columns of rows. Mostly those of a user come one after the other, and then it is enough to know
/// where they are; otherwise whose they are is one column more.
#[derive(Default)]
pub(super) struct Rows {
    /// Where the rows of each user begin and end, while they come one after the other.
    ranges: Vec<(u32, u32)>,
    last: Option<u32>,
    /// Whose each row is, once they do not.
    users: Option<Vec<u32>>,
    items: Vec<ItemId>,
    /// What the rows of a user are in order by; empty where they are in order.
    keys: Vec<f64>,
}

impl Rows {
    /// Takes note of a row.
    ///
    /// # Errors
    /// That there are too many.
    pub(super) fn push(&mut self, user: u32, item: ItemId, key: Option<f64>) -> Result<(), String> {
        let row = u32::try_from(self.items.len()).ok().filter(|&row| row < u32::MAX);
        let row = row.ok_or_else(|| format!("is row {}, expected fewer rows", u32::MAX))?;
        self.items.push(item);
        self.keys.extend(key);
        if let Some(users) = &mut self.users {
            users.push(user);
            return Ok(());
        }
        if self.ranges.len() <= user as usize {
            self.ranges.resize(user as usize + 1, (0, 0));
        }
        let range = &mut self.ranges[user as usize];
        if self.last == Some(user) {
            range.1 += 1;
        } else if range.1 == 0 {
            *range = (row, row + 1);
        } else {
            let mut users = vec![user; row as usize + 1];
            for (user, &(begin, end)) in (0..).zip(&self.ranges) {
                users[begin as usize..end as usize].fill(user);
            }
            self.users = Some(users);
        }
        self.last = Some(user);
        Ok(())
    }

    /// The rows of each of `n_users` users together, in the order in which they came.
    ///
    /// # Errors
    /// The first user, by number, who has an item twice, and the item.
    pub(super) fn group(mut self, n_users: usize, order: Order) -> Result<Lists, (u32, ItemId)> {
        if let Some(users) = self.users.take() {
            self.sort(users);
        }
        let Self { mut ranges, items, keys, .. } = self;
        ranges.resize(n_users, (0, 0));
        let n_items = items.iter().map(|item| item.index() + 1).max().unwrap_or_default();
        let mut last = vec![u32::MAX; n_items];
        for (user, &(begin, end)) in (0..).zip(&ranges) {
            for item in &items[begin as usize..end as usize] {
                if std::mem::replace(&mut last[item.index()], user) == user {
                    return Err((user, *item));
                }
            }
        }
        Ok(Lists { order, ranges, items, keys, unknown_users: 0 })
    }

    /// Brings the rows, which are those of `users`, to the place where they belong.
    fn sort(&mut self, mut users: Vec<u32>) {
        let most = users.iter().max().map_or(0, |user| *user as usize + 1);
        let mut counts = vec![0_u32; most];
        for &user in &users {
            counts[user as usize] += 1;
        }
        let mut begin = 0;
        self.ranges = Vec::with_capacity(most);
        for count in counts {
            self.ranges.push((begin, begin));
            begin += count;
        }
        for user in &mut users {
            let end = &mut self.ranges[*user as usize].1;
            (*user, *end) = (*end, *end + 1);
        }
        // From here on users are the places where the rows belong. There is no second copy of them.
        for row in 0..users.len() {
            while users[row] as usize != row {
                let place = users[row] as usize;
                self.items.swap(row, place);
                if !self.keys.is_empty() {
                    self.keys.swap(row, place);
                }
                users.swap(row, place);
            }
        }
    }
}
