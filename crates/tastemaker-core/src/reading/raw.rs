//! Data as it was read, before anything is done to it.

use std::path::PathBuf;

use crate::catalog::{Attribute, Catalog};
use crate::graph::KnowledgeGraph;
use crate::ids::Vocabulary;
use crate::people::UserAttributes;

/// Something that was read, to be hashed into the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Bytes inside the program.
    Embedded {
        /// What they are called.
        name: &'static str,
        /// The bytes.
        bytes: &'static [u8],
    },
}

/// What a source read: columns in the order of the source, nothing left out and nothing sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawData {
    /// What the data set is called in results.
    pub name: String,
    /// The format and what is special about this instance of it, in a sentence.
    pub format: String,
    /// Everything that was read.
    pub inputs: Vec<Input>,
    /// Outside ids of the users in the order of first appearance.
    pub users: Vocabulary,
    /// Outside ids of the items in the order of first appearance.
    pub items: Vocabulary,
    /// The user of each interaction.
    pub user: Vec<u32>,
    /// The item of each interaction.
    pub item: Vec<u32>,
    /// The time of each interaction in the unit of the source.
    pub times: Option<Vec<f64>>,
    /// The value of each interaction.
    pub values: Option<Vec<f32>>,
    /// What was written about each interaction, one column a kind of text.
    pub texts: Vec<Attribute>,
    /// The items' attributes, one row an item of `items`.
    pub catalog: Catalog,
    /// The users' attributes, one row a user of `users`.
    pub people: UserAttributes,
    /// Facts about the items; links are to positions in `items`.
    pub graph: Option<KnowledgeGraph>,
    /// What a reader of the manifest should know: what was guessed, left out or repaired.
    pub notes: Vec<String>,
    /// Who made the data and under which licence, where that is known.
    pub attribution: Option<String>,
}

impl RawData {
    /// Data called `name`, still without interactions.
    pub(crate) fn new(name: impl Into<String>, format: impl Into<String>) -> Self {
        Self { name: name.into(), format: format.into(), ..Self::default() }
    }

    /// Takes note of an interaction without time and value.
    pub(crate) fn push(&mut self, user: u32, item: u32) {
        self.user.push(user);
        self.item.push(item);
    }

    /// The number of interactions.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there are no interactions.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }
}
