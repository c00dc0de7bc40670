//! The hash of a data set's content.

use sha2::{Digest, Sha256};

use crate::artifact::hex;
use crate::catalog::{Attribute, Column};
use crate::dataset::Dataset;
use crate::ids::Vocabulary;

/// SHA-256 over ids, interactions, attributes and graph, in hexadecimal. The data set's name and
/// where it came from are no part of it. Every part is preceded by its length, so that no two
/// different data sets give the same bytes.
pub(super) fn content(data: &Dataset) -> String {
    let mut hash = Content(Sha256::new());
    hash.text("tastemaker data set 1");
    hash.vocabulary(&data.users);
    hash.vocabulary(&data.items);
    hash.numbers(data.interactions.offsets().iter().map(|&offset| offset as u64));
    hash.numbers(data.interactions.all_items().iter().map(|item| u64::from(item.0)));
    hash.optional(data.interactions.all_times().map(|times| times.iter().map(|t| t.to_bits())));
    let values = data.interactions.all_values();
    hash.optional(values.map(|values| values.iter().map(|v| u64::from(v.to_bits()))));
    hash.text(data.catalog.title_attribute().map_or("", |title| &title.name));
    hash.length(data.catalog.attributes().len());
    for attribute in data.catalog.attributes() {
        hash.attribute(attribute);
    }
    hash.length(data.people.attributes().len());
    for known in data.people.attributes() {
        hash.length(usize::from(known.sensitive));
        hash.attribute(&known.attribute);
    }
    for texts in data.interactions.texts() {
        hash.attribute(texts);
    }
    if let Some(graph) = &data.graph {
        hash.vocabulary(&graph.entities);
        hash.vocabulary(&graph.relations);
        hash.length(graph.triples.len());
        for &(head, relation, tail) in &graph.triples {
            hash.numbers([head, relation, tail].into_iter().map(u64::from));
        }
        hash.length(graph.links.len());
        for &(item, entity) in &graph.links {
            hash.numbers([item.0, entity].into_iter().map(u64::from));
        }
    }
    hex(&hash.0.finalize())
}

struct Content(Sha256);

impl Content {
    fn length(&mut self, length: usize) {
        self.0.update((length as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text);
    }

    fn vocabulary(&mut self, ids: &Vocabulary) {
        self.length(ids.len());
        for id in ids.iter() {
            self.text(id);
        }
    }

    fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.length(numbers.len());
        for number in numbers {
            self.0.update(number.to_le_bytes());
        }
    }

    fn optional(&mut self, numbers: Option<impl ExactSizeIterator<Item = u64>>) {
        self.length(usize::from(numbers.is_some()));
        if let Some(numbers) = numbers {
            self.numbers(numbers);
        }
    }

    fn attribute(&mut self, attribute: &Attribute) {
        self.text(&attribute.name);
        self.length(attribute.column.len());
        match &attribute.column {
            Column::Text(rows) => {
                for row in rows {
                    self.length(usize::from(row.is_some()));
                    self.text(row.as_deref().unwrap_or_default());
                }
            }
            Column::Categories(rows) => {
                for row in rows {
                    self.length(row.len());
                    for category in row {
                        self.text(category);
                    }
                }
            }
            Column::Number(rows) => {
                for row in rows {
                    self.optional(row.map(|number| std::iter::once(number.to_bits())));
                }
            }
        }
    }
}
