//! Items by what people write: an id, a title, or nearly a title.

use std::collections::BTreeMap;

use serde::Serialize;
use tastemaker_core::{Dataset, ItemId};

/// How alike a title must be to what was written, from 0 to 1, to be taken for it.
const ALIKE: f64 = 0.8;

/// How many titles are named when none can be taken.
const NAMED: usize = 5;

/// What an entry of a history was taken for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Matched {
    /// What was written.
    pub written: String,
    /// The outside id of the item.
    pub id: String,
    /// Its title, where the data has one.
    pub title: Option<String>,
    /// How it was found: `id`, `title`, `part of the title` or `similar title`.
    pub by: &'static str,
    #[serde(skip)]
    pub(super) item: ItemId,
}

/// The titles of a data set, by what remains of them without case, punctuation and articles.
pub struct TitleIndex<'a> {
    data: &'a Dataset,
    keys: BTreeMap<String, Vec<ItemId>>,
}

impl Matched {
    /// An item that needed no search.
    pub(super) fn of_item(data: &Dataset, item: ItemId) -> Self {
        let id = data.items.id(item.index()).unwrap_or_default().to_owned();
        let title = data.catalog.title(item).map(str::to_owned);
        Self { written: id.clone(), id, title, by: "id", item }
    }
}

impl<'a> TitleIndex<'a> {
    /// The titles of `data`.
    pub fn new(data: &'a Dataset) -> Self {
        let mut keys: BTreeMap<String, Vec<ItemId>> = BTreeMap::new();
        for item in (0..).take(data.n_items()).map(ItemId) {
            if let Some(title) = data.catalog.title(item) {
                let mut of_item = [key(title), key(without_parentheses(title))];
                of_item.sort();
                for key in of_item.iter().filter(|key| !key.is_empty()) {
                    let items = keys.entry(key.clone()).or_default();
                    if items.last() != Some(&item) {
                        items.push(item);
                    }
                }
            }
        }
        Self { data, keys }
    }

    /// An item for every entry; all entries without one are named in the error.
    pub fn find_all(&self, entries: &[String]) -> Result<Vec<Matched>, String> {
        let found: Vec<Result<Matched, String>> =
            entries.iter().map(|entry| self.find(entry)).collect();
        let problems: Vec<&str> =
            found.iter().filter_map(|found| found.as_ref().err()).map(String::as_str).collect();
        if entries.is_empty() {
            return Err("the history is empty, expected one title or id at least".to_owned());
        }
        if problems.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(problems.join("\n"))
        }
    }

    /// The item that `written` means.
    pub fn find(&self, written: &str) -> Result<Matched, String> {
        let written = written.trim();
        let matched = |item: ItemId, by| {
            Ok(Matched { written: written.to_owned(), by, ..Matched::of_item(self.data, item) })
        };
        if let Some(item) = self.data.items.get(written) {
            return matched(ItemId(item), "id");
        }
        let wanted = key(written);
        if wanted.is_empty() || self.keys.is_empty() {
            return Err(self.unknown(written));
        }
        if let Some(items) = self.keys.get(&wanted) {
            return match items.as_slice() {
                [item] => matched(*item, "title"),
                several => Err(self.ambiguous(written, several)),
            };
        }
        let mut parts: Vec<ItemId> = self
            .keys
            .iter()
            .filter(|(key, _)| has_words(key, &wanted))
            .flat_map(|(_, items)| items)
            .copied()
            .collect();
        parts.sort_unstable();
        parts.dedup();
        match parts.as_slice() {
            [item] => return matched(*item, "part of the title"),
            [] => {}
            several => return Err(self.ambiguous(written, several)),
        }
        match self.similar(&wanted).first() {
            Some((likeness, item)) if *likeness >= ALIKE => matched(*item, "similar title"),
            _ => Err(self.unknown(written)),
        }
    }

    /// Titles by how alike they are, most alike first.
    fn similar(&self, wanted: &str) -> Vec<(f64, ItemId)> {
        let likeness = |(key, items): (&String, &Vec<ItemId>)| {
            (strsim::normalized_damerau_levenshtein(key, wanted), items[0])
        };
        let mut similar: Vec<(f64, ItemId)> = self.keys.iter().map(likeness).collect();
        similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        similar
    }

    fn name(&self, item: ItemId) -> String {
        let id = self.data.items.id(item.index()).unwrap_or_default();
        self.data
            .catalog
            .title(item)
            .map_or_else(|| id.to_owned(), |title| format!("{title:?} (id {id})"))
    }

    fn ambiguous(&self, written: &str, items: &[ItemId]) -> String {
        let names: Vec<String> = items.iter().take(NAMED).map(|&item| self.name(item)).collect();
        let more = items.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "{written:?} fits {} items: {}{more}; write more of the title or the id",
            items.len(),
            names.join(", ")
        )
    }

    fn unknown(&self, written: &str) -> String {
        if self.keys.is_empty() {
            let ids: Vec<&str> = self.data.items.iter().take(3).collect();
            return format!(
                "there is no item {written:?}; the data has no titles, only ids such as {}",
                ids.join(", ")
            );
        }
        let mut names: Vec<String> = Vec::new();
        for (_, item) in self.similar(&key(written)) {
            let name = self.name(item);
            if names.len() < NAMED && !names.contains(&name) {
                names.push(name);
            }
        }
        format!("there is no item {written:?}; the nearest are {}", names.join(", "))
    }
}

/// Lower case, letters and digits only, one blank between words, without articles.
fn key(title: &str) -> String {
    let plain: String = title
        .chars()
        .map(|c| {
            if c.is_alphanumeric() {
                c
            } else if matches!(c, '\'' | '’') {
                '\0'
            } else {
                ' '
            }
        })
        .filter(|&c| c != '\0')
        .flat_map(char::to_lowercase)
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let kept: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "the" | "a" | "an")).collect();
    // "The The" is a band and "A" a film: what is all articles keeps them.
    if kept.is_empty() { words.join(" ") } else { kept.join(" ") }
}

/// The title without what stands in parentheses: series, year.
fn without_parentheses(title: &str) -> &str {
    title.split('(').next().unwrap_or(title).trim()
}

/// Whether `key` holds the words of `wanted` one after the other.
fn has_words(key: &str, wanted: &str) -> bool {
    format!(" {key} ").contains(&format!(" {wanted} "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::catalog::{Attribute, Catalog, Column};

    fn data() -> Dataset {
        let titles = [
            "The Hobbit",
            "Emma (Penguin Classics)",
            "Harry Potter I",
            "Harry Potter II",
            "Matrix, The (1999)",
        ];
        let column = Column::Text(titles.iter().map(|title| Some((*title).to_owned())).collect());
        let title = Attribute { name: "title".to_owned(), column };
        Dataset {
            items: ["10", "11", "12", "13", "14"].into_iter().collect(),
            catalog: Catalog::new(vec![title], Some("title")),
            ..Dataset::default()
        }
    }

    fn found(written: &str) -> (String, &'static str) {
        let matched = TitleIndex::new(&data()).find(written).unwrap();
        (matched.id, matched.by)
    }

    #[test]
    fn titles_are_found_as_people_write_them() {
        assert_eq!(found("12"), ("12".to_owned(), "id"));
        assert_eq!(found("hobbit"), ("10".to_owned(), "title"));
        assert_eq!(found("EMMA"), ("11".to_owned(), "title"));
        assert_eq!(found("the matrix"), ("14".to_owned(), "title"));
        assert_eq!(found("penguin classics"), ("11".to_owned(), "part of the title"));
        assert_eq!(found("The Hobit"), ("10".to_owned(), "similar title"));
    }

    #[test]
    fn what_fits_several_or_none_names_the_nearest() {
        let data = data();
        let index = TitleIndex::new(&data);
        let several = index.find("harry potter").unwrap_err();
        assert!(several.contains("fits 2 items") && several.contains("(id 13)"), "{several}");
        let none = index.find("War and Peace").unwrap_err();
        assert!(none.starts_with("there is no item \"War and Peace\"; the nearest are"), "{none}");
    }
}
