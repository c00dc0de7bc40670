//! For whom to recommend, and from what history.

use crate::ids::{ItemId, UserId};

/// One question to a recommender.
#[derive(Clone, Copy, Debug)]
pub struct RecQuery<'a> {
    /// The user, where it is one of the data set's; `None` for anybody with a history.
    pub user: Option<UserId>,
    /// What the user met, oldest first.
    pub history: &'a [ItemId],
    /// The only items to rank; `None` ranks the whole catalog.
    pub candidates: Option<&'a [ItemId]>,
}
