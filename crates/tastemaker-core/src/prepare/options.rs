//! What is done to data between reading and learning.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is done to data between reading and learning; the default leaves out repetitions and
/// nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PrepareOptions {
    /// Interactions with a smaller value (rating) are left out; nothing is if this is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_value: Option<f32>,
    /// Which of several interactions of one user with one item are kept.
    pub repeats: Repeats,
    /// Users with fewer interactions are left out, again and again until none is left; 0 and 1
    /// leave out nobody.
    pub user_core: usize,
    /// Items with fewer interactions are left out in the same way.
    pub item_core: usize,
    /// Which of two interactions of a user at the same time is the earlier one.
    pub ties: Ties,
}

/// Which of several interactions of one user with one item are kept.
///
/// `First` is the default because a ranking leaves out what the user has seen: a target that
/// the user met before could never be found. Data sets in the form used for sequential
/// recommendation (S3-Rec's, RecBole's Amazon and MovieLens) have no repetitions, so for them
/// this changes nothing; RecBole itself keeps all unless `rm_dup_inter` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeats {
    /// The earliest.
    #[default]
    First,
    /// The latest.
    Last,
    /// All of them.
    All,
}

/// Which of two interactions of a user at the same time is the earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ties {
    /// The one that stands earlier in the source.
    #[default]
    SourceOrder,
    /// The one with the smaller outside id (as numbers where both are whole numbers, else as
    /// bytes), then the one that stands earlier in the source.
    ItemId,
    /// Drawn by lot, the same for the same seed.
    Shuffled {
        /// The seed.
        seed: u64,
    },
}

impl PrepareOptions {
    /// Refuses settings that mean nothing.
    pub(super) fn check(&self) -> Result<()> {
        match self.min_value {
            Some(value) if !value.is_finite() => Err(Error::Setting {
                name: "min-value".to_owned(),
                found: value.to_string(),
                expected: "a finite number".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The same k-core for users and items.
    #[must_use]
    pub fn with_core(mut self, k: usize) -> Self {
        (self.user_core, self.item_core) = (k, k);
        self
    }
}
