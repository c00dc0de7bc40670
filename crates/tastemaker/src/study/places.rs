//! Where the settings of a study are written.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Texts;
use super::problem::Place;

/// Where settings are written, by their keys: in a table itself, or in what it inherits.
///
/// Where something is written makes it no other thing, so all are equal.
#[derive(Clone, Debug, Default)]
pub struct Places {
    here: Option<Place>,
    inside: BTreeMap<String, Places>,
}

impl PartialEq for Places {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Places {
    /// The places of what is in `value`.
    pub(super) fn of(value: &Spanned<DeValue<'_>>, texts: &Texts) -> Self {
        let here = Some(texts.place(value.span()));
        let inside = match value.get_ref() {
            DeValue::Table(table) => return Self { here, ..Self::of_table(table, texts) },
            DeValue::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(i, item)| (i.to_string(), Self::of(item, texts))).collect()
            }
            _ => BTreeMap::new(),
        };
        Self { here, inside }
    }

    /// The places of what is in `table`, each at its key.
    pub(super) fn of_table(table: &DeTable<'_>, texts: &Texts) -> Self {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let here = Some(texts.place(key.span()));
            (key.get_ref().to_string(), Self { here, ..Self::of(value, texts) })
        };
        Self { here: None, inside: table.iter().map(entry).collect() }
    }

    /// The place of the setting with these keys, such as `training.epochs`; if it is not written,
    /// that of the table in which it could stand. The name of a variant may be left out, so
    /// `backbone.heads` is found in `backbone = { decoder = { heads = 2 } }`.
    pub(crate) fn find(&self, keys: &str) -> Option<&Place> {
        let keys: Vec<&str> = keys.split('.').filter(|key| !key.is_empty()).collect();
        (0..=keys.len()).rev().find_map(|n| self.exactly(&keys[..n]))
    }

    fn exactly(&self, keys: &[&str]) -> Option<&Place> {
        let Some((first, rest)) = keys.split_first() else { return self.here.as_ref() };
        if let Some(inside) = self.inside.get(*first) {
            return inside.exactly(rest);
        }
        let mut all = self.inside.values();
        match (all.next(), all.next()) {
            (Some(only), None) => only.inside.get(*first)?.exactly(rest),
            _ => None,
        }
    }
}
