//! Interactions, the items they are with, and the people they are by.

use crate::catalog::Catalog;
use crate::graph::KnowledgeGraph;
use crate::ids::Vocabulary;
use crate::interactions::Interactions;
use crate::people::UserAttributes;

/// A data set as everything after the sources sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// What the data set is called in results.
    pub name: String,
    /// SHA-256 over the content (ids, interactions, attributes), in hexadecimal.
    pub hash: String,
    /// Outside ids of the users.
    pub users: Vocabulary,
    /// Outside ids of the items.
    pub items: Vocabulary,
    /// Who met what, in order of time.
    pub interactions: Interactions,
    /// The items' texts and attributes.
    pub catalog: Catalog,
    /// The users' attributes.
    pub people: UserAttributes,
    /// Facts about the items, where the source had a graph.
    pub graph: Option<KnowledgeGraph>,
}

impl Dataset {
    /// The number of users.
    pub fn n_users(&self) -> usize {
        self.users.len()
    }

    /// The number of items.
    pub fn n_items(&self) -> usize {
        self.items.len()
    }
}
