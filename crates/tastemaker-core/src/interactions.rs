//! Who met which item, in order of time.

use std::ops::Range;

use crate::catalog::{Attribute, Column};
use crate::ids::{ItemId, UserId};

/// Interactions in columns, grouped by user and ordered by time within a user.
///
/// The order within a user is total: equal timestamps are put in order once, when the data is
/// prepared, and that order is kept from then on. Everything that needs "before" and "after" asks
/// for positions in a user's sequence and never compares timestamps again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    offsets: Vec<usize>,
    items: Vec<ItemId>,
    times: Option<Vec<f64>>,
    values: Option<Vec<f32>>,
    texts: Vec<Attribute>,
}

impl Interactions {
    /// Builds from one sequence a user, oldest first.
    pub fn from_sequences<S: AsRef<[ItemId]>>(sequences: impl IntoIterator<Item = S>) -> Self {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for sequence in sequences {
            items.extend_from_slice(sequence.as_ref());
            offsets.push(items.len());
        }
        Self { offsets, items, ..Self::default() }
    }

    /// Builds from columns that are already grouped by user and ordered by time.
    ///
    /// `offsets` has one entry more than there are users; `times` are seconds since 1970 and
    /// `values` what the source gave with the interaction (a rating, a count).
    ///
    /// # Panics
    /// If the lengths of the columns disagree or `offsets` is not ascending from 0.
    pub fn from_columns(
        offsets: Vec<usize>,
        items: Vec<ItemId>,
        times: Option<Vec<f64>>,
        values: Option<Vec<f32>>,
    ) -> Self {
        assert!(offsets.first() == Some(&0) && offsets.is_sorted(), "offsets ascend from 0");
        assert_eq!(offsets.last(), Some(&items.len()), "offsets end at the number of interactions");
        assert!(times.as_ref().is_none_or(|times| times.len() == items.len()));
        assert!(values.as_ref().is_none_or(|values| values.len() == items.len()));
        Self { offsets, items, times, values, texts: vec![] }
    }

    /// The same with what was written about each interaction (a review, its summary), one column a
    /// kind of text.
    ///
    /// # Panics
    /// If a column is not of texts, or not as long as there are interactions.
    #[must_use]
    pub fn with_texts(self, texts: Vec<Attribute>) -> Self {
        for Attribute { column, .. } in &texts {
            assert!(matches!(column, Column::Text(rows) if rows.len() == self.len()));
        }
        Self { texts, ..self }
    }

    /// The number of users, those without interactions included.
    pub fn n_users(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The number of interactions.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Where `user`'s interactions stand in the columns.
    pub fn range(&self, user: UserId) -> Range<usize> {
        self.offsets[user.index()]..self.offsets[user.index() + 1]
    }

    /// `user`'s items, oldest first.
    pub fn sequence(&self, user: UserId) -> &[ItemId] {
        &self.items[self.range(user)]
    }

    /// The times of `user`'s interactions in seconds since 1970, where the source had times.
    pub fn times(&self, user: UserId) -> Option<&[f64]> {
        self.times.as_ref().map(|times| &times[self.range(user)])
    }

    /// The values of `user`'s interactions (ratings, counts), where the source had them.
    pub fn values(&self, user: UserId) -> Option<&[f32]> {
        self.values.as_ref().map(|values| &values[self.range(user)])
    }

    /// All users, in order.
    pub fn users(&self) -> impl ExactSizeIterator<Item = UserId> + use<> {
        let n = u32::try_from(self.n_users()).expect("fewer than 2^32 users");
        (0..n as usize).map(|user| UserId(u32::try_from(user).expect("checked above")))
    }

    /// The item column.
    pub fn all_items(&self) -> &[ItemId] {
        &self.items
    }

    /// The time column.
    pub fn all_times(&self) -> Option<&[f64]> {
        self.times.as_deref()
    }

    /// The value column.
    pub fn all_values(&self) -> Option<&[f32]> {
        self.values.as_deref()
    }

    /// What was written about the interactions, one column a kind of text.
    pub fn texts(&self) -> &[Attribute] {
        &self.texts
    }

    /// What of the kind `name` was written about the interaction that is `place`-th in the columns.
    pub fn text(&self, name: &str, place: usize) -> Option<&str> {
        let texts = self.texts.iter().find(|texts| texts.name == name)?;
        match &texts.column {
            Column::Text(rows) => rows.get(place)?.as_deref(),
            Column::Categories(_) | Column::Number(_) => None,
        }
    }

    /// Where each user's interactions begin, with the total at the end.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }
}
