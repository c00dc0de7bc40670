//! Real data inside the program: readers of Goodreads and their books.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{RawData, Source};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::reading::attributes::{Attributes, Kind};
use crate::reading::lines::{Encoding, Lines, unpack};
use crate::reading::numbers::{finite, finite32};
use crate::reading::raw::Input;

/// Who made the embedded data and under which licence; it travels with every copy.
pub const ATTRIBUTION: &str = include_str!("../../assets/goodbooks-demo/ATTRIBUTION.md");

/// The licence's own words.
pub const LICENSE: &str = include_str!("../../assets/goodbooks-demo/LICENSE");

const BOOKS: &[u8] = include_bytes!("../../assets/goodbooks-demo/books.tsv.zst");
const RATINGS: &[u8] = include_bytes!("../../assets/goodbooks-demo/ratings.tsv.zst");

/// Readers of the small cut.
const SMALL: u32 = 600;

/// Ratings of books by readers of Goodreads, each reader whole and in order, with titles,
/// authors, years, languages and genres; from goodbooks-10k.
///
/// The source has no times: the order is the one in which each reader's ratings are published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Demo {
    /// How many readers.
    pub size: DemoSize,
}

/// How much of the embedded data is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DemoSize {
    /// The first 600 readers: a model learns from them in well under a minute on two cores.
    #[default]
    Small,
    /// All 1,500 readers.
    Medium,
}

impl Source for Demo {
    fn read(&self) -> Result<RawData> {
        let mut raw = RawData::new("demo", "goodbooks, embedded in the program");
        raw.attribution = Some(ATTRIBUTION.to_owned());
        raw.inputs = vec![
            Input::Embedded { name: "goodbooks-demo/ratings.tsv.zst", bytes: RATINGS },
            Input::Embedded { name: "goodbooks-demo/books.tsv.zst", bytes: BOOKS },
        ];
        let most = match self.size {
            DemoSize::Small => SMALL,
            DemoSize::Medium => u32::MAX,
        };
        read_ratings(&mut raw, most)?;
        raw.catalog = read_books(&raw)?;
        Ok(raw)
    }
}

/// Opens an embedded file.
fn open(name: &str, bytes: &'static [u8]) -> Result<Lines> {
    let path = Path::new(name);
    let reader = unpack(bytes).map_err(|source| crate::Error::read(path, source))?;
    Ok(Lines::new(path, reader, Encoding::Utf8))
}

/// Reads the ratings of the first `most` readers.
fn read_ratings(raw: &mut RawData, most: u32) -> Result<()> {
    let mut lines = open("goodbooks-demo/ratings.tsv.zst", RATINGS)?;
    lines.next()?; // the header
    let mut values = Vec::new();
    while let Some(line) = lines.next()? {
        let fields: Vec<&str> = line.text.split('\t').collect();
        let &[user, book, rating] = fields.as_slice() else {
            return Err(line.problem("expected user, book and rating"));
        };
        let user = raw.users.intern(user);
        if user >= most {
            break;
        }
        let item = raw.items.intern(book);
        raw.push(user, item);
        values.push(finite32("rating", rating).map_err(|problem| line.problem(problem))?);
    }
    // The reader who came one too many.
    raw.users = raw.users.iter().take(most as usize).collect();
    raw.values = Some(values);
    Ok(())
}

/// Reads what is known about the books that are in `raw`.
fn read_books(raw: &RawData) -> Result<Catalog> {
    let mut lines = open("goodbooks-demo/books.tsv.zst", BOOKS)?;
    lines.next()?; // the header
    let mut attributes = Attributes::new([
        ("title", Kind::Text),
        ("authors", Kind::Categories),
        ("genres", Kind::Categories),
        ("year", Kind::Number),
        ("language", Kind::Categories),
    ]);
    while let Some(line) = lines.next()? {
        let fields: Vec<&str> = line.text.split('\t').collect();
        let &[book, _, title, authors, year, language, genres] = fields.as_slice() else {
            return Err(line.problem("expected seven fields"));
        };
        let Some(row) = raw.items.get(book) else { continue };
        attributes.text(row, 0, title);
        attributes.categories(row, 1, authors.split(", "));
        attributes.categories(row, 2, genres.split(','));
        if !year.is_empty() {
            let year = finite("year", year).map_err(|problem| line.problem(problem))?;
            attributes.number(row, 3, year);
        }
        attributes.categories(row, 4, [language]);
    }
    Ok(Catalog::new(attributes.finish(raw.items.len()), Some("title")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_data_is_whole() {
        let small = Demo::default().read().unwrap();
        let medium = Demo { size: DemoSize::Medium }.read().unwrap();
        assert_eq!(medium.users.len(), 1500);
        assert_eq!((medium.items.len(), medium.len()), (6470, 154_939));
        assert_eq!(small.users.len(), 600);
        assert_eq!(medium.user[..small.len()], small.user);
        assert_eq!(small.catalog.title_attribute().unwrap().column.n_present(), small.items.len());
    }

    #[test]
    fn the_attribution_names_author_licence_and_changes() {
        for words in ["Zygmunt Zając", "CC BY-SA 4.0", "1,500"] {
            assert!(ATTRIBUTION.contains(words), "{words}");
        }
        assert!(LICENSE.contains("Attribution-ShareAlike 4.0"));
    }
}
