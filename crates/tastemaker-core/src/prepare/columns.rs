//! From kept rows to a data set with new numbers.

use super::hash;
use crate::catalog::{Attribute, Catalog};
use crate::dataset::Dataset;
use crate::ids::{ItemId, Vocabulary};
use crate::interactions::Interactions;
use crate::people::{UserAttribute, UserAttributes};
use crate::sources::RawData;

/// New numbers for some of the old ones.
struct Renumbering {
    /// The new number of each old one; `u32::MAX` where there is none.
    new: Vec<u32>,
    /// The old number of each new one.
    old: Vec<usize>,
}

impl Renumbering {
    /// Numbers in the order of first occurrence.
    fn by_first(n: usize, occurrences: impl Iterator<Item = u32>) -> Self {
        let (mut new, mut old) = (vec![u32::MAX; n], Vec::new());
        let mut next = 0;
        for occurrence in occurrences {
            let place = &mut new[occurrence as usize];
            if *place == u32::MAX {
                *place = next;
                next += 1;
                old.push(occurrence as usize);
            }
        }
        Self { new, old }
    }

    fn select(&self, ids: &Vocabulary) -> Vocabulary {
        self.old.iter().filter_map(|&old| ids.id(old)).collect()
    }

    fn attribute(&self, attribute: &Attribute) -> Attribute {
        Attribute { name: attribute.name.clone(), column: attribute.column.select(&self.old) }
    }
}

/// Builds the data set from `rows`, which stand by user and in order of time. The columns of
/// `raw` are given up one by one as they are used.
pub(super) fn build(mut raw: RawData, rows: &[u32], seconds: Option<Vec<f64>>) -> Dataset {
    let mut in_source = rows.to_vec();
    in_source.sort_unstable();
    let at = |column: &[u32], row: u32| column[row as usize];
    let users =
        Renumbering::by_first(raw.users.len(), in_source.iter().map(|&row| at(&raw.user, row)));
    let items =
        Renumbering::by_first(raw.items.len(), in_source.iter().map(|&row| at(&raw.item, row)));
    drop(in_source);
    let interactions = interactions(&mut raw, rows, seconds, &users, &items);
    let catalog = {
        let title = raw.catalog.title_attribute().map(|title| title.name.clone());
        let attributes = raw.catalog.attributes().iter().map(|a| items.attribute(a)).collect();
        Catalog::new(attributes, title.as_deref())
    };
    let people = raw.people.attributes().iter().map(|known| UserAttribute {
        attribute: users.attribute(&known.attribute),
        sensitive: known.sensitive,
    });
    let people = UserAttributes::new(people.collect());
    if let Some(graph) = &mut raw.graph {
        graph.links.retain_mut(|(item, _)| {
            item.0 = items.new[item.index()];
            item.0 != u32::MAX
        });
    }
    let mut dataset = Dataset {
        name: raw.name,
        hash: String::new(),
        users: users.select(&raw.users),
        items: items.select(&raw.items),
        interactions,
        catalog,
        people,
        graph: raw.graph,
    };
    dataset.hash = hash::content(&dataset);
    dataset
}

/// The columns of the interactions, users in the order of their new numbers.
fn interactions(
    raw: &mut RawData,
    rows: &[u32],
    seconds: Option<Vec<f64>>,
    users: &Renumbering,
    items: &Renumbering,
) -> Interactions {
    // Where each old user's rows begin in `rows`.
    let mut range = vec![0..0; raw.users.len()];
    let mut start = 0;
    for user in rows.chunk_by(|a, b| raw.user[*a as usize] == raw.user[*b as usize]) {
        range[raw.user[user[0] as usize] as usize] = start..start + user.len();
        start += user.len();
    }
    let mut offsets = vec![0];
    let mut sorted = Vec::with_capacity(rows.len());
    for &old in &users.old {
        sorted.extend_from_slice(&rows[range[old].clone()]);
        offsets.push(sorted.len());
    }
    raw.user = Vec::new();
    let item = std::mem::take(&mut raw.item);
    let column = sorted.iter().map(|&row| ItemId(items.new[item[row as usize] as usize])).collect();
    drop(item);
    let times = seconds.map(|times| sorted.iter().map(|&row| times[row as usize]).collect());
    let values = raw.values.take();
    let values = values.map(|values| sorted.iter().map(|&row| values[row as usize]).collect());
    let sorted: Vec<usize> = sorted.into_iter().map(|row| row as usize).collect();
    let texts = std::mem::take(&mut raw.texts).into_iter().map(|Attribute { name, column }| {
        let column = column.select(&sorted);
        Attribute { name, column }
    });
    Interactions::from_columns(offsets, column, times, values).with_texts(texts.collect())
}
