//! A knowledge graph about the items.

use crate::ids::{ItemId, Vocabulary};

/// Facts about entities, and which items are which entities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnowledgeGraph {
    /// The entities' outside ids.
    pub entities: Vocabulary,
    /// The relations' outside ids.
    pub relations: Vocabulary,
    /// (head entity, relation, tail entity).
    pub triples: Vec<(u32, u32, u32)>,
    /// Item and the entity it is.
    pub links: Vec<(ItemId, u32)>,
}
