//! Dense numbers for users and items, and the outside ids behind them.

use indexmap::IndexSet;

/// A user's dense number within one [`crate::Dataset`], from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// An item's dense number within one [`crate::Dataset`], from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ItemId(pub u32);

impl UserId {
    /// The number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ItemId {
    /// The number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The outside ids of users or items, each with its dense number.
///
/// Outside ids are strings, as they stand in the file; dense numbers are given in the order of
/// first insertion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    // Numbers follow from the order of insertion: how ids are hashed changes nothing but the time.
    ids: IndexSet<Box<str>, ahash::RandomState>,
}

impl Vocabulary {
    /// The dense number of `id`, given now if it is new.
    ///
    /// # Panics
    /// If there are more than `u32::MAX` ids.
    pub fn intern(&mut self, id: &str) -> u32 {
        let index = match self.ids.get_index_of(id) {
            Some(index) => index,
            None => self.ids.insert_full(id.into()).0,
        };
        u32::try_from(index).expect("fewer than 2^32 ids")
    }

    /// The dense number of `id`, if it is known.
    pub fn get(&self, id: &str) -> Option<u32> {
        self.ids.get_index_of(id).and_then(|index| u32::try_from(index).ok())
    }

    /// The outside id with dense number `index`, if there is one.
    pub fn id(&self, index: usize) -> Option<&str> {
        self.ids.get_index(index).map(AsRef::as_ref)
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// All ids in the order of their dense numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ids.iter().map(AsRef::as_ref)
    }
}

impl<S: AsRef<str>> FromIterator<S> for Vocabulary {
    fn from_iter<I: IntoIterator<Item = S>>(ids: I) -> Self {
        let mut vocabulary = Self::default();
        for id in ids {
            vocabulary.intern(id.as_ref());
        }
        vocabulary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_the_number_of_its_first_insertion() {
        let mut vocabulary = Vocabulary::default();
        assert_eq!(
            (vocabulary.intern("b"), vocabulary.intern("a"), vocabulary.intern("b")),
            (0, 1, 0)
        );
        assert_eq!(vocabulary.id(1), Some("a"));
        assert_eq!(vocabulary.get("c"), None);
    }
}
