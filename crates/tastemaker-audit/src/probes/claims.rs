//! What texts say of items, checked against the catalog.

use std::collections::{BTreeMap, BTreeSet};

use tastemaker_core::catalog::{Catalog, Column};
use tastemaker_core::{Dataset, ItemId};

use crate::Explanation;

/// Values of attributes that are shorter are not looked for: too often they are a part of other words.
const SHORTEST: usize = 3;

/// Numbers that are looked for: such as years, and no prices or counts.
const YEARS: std::ops::Range<f64> = 1000.0..3000.0;

/// Signs that stand before a title that is one word, since such a word is often no title.
const QUOTES: &str = "\"'“”‘’«»„*_";

/// Articles that some catalogs put behind a title: Lion King, The.
const ARTICLES: [&str; 3] = ["The", "A", "An"];

/// The titles and the values of a catalog's attributes, to be found in texts.
///
/// # What it does
/// Looks for titles, and for values of categories and years, word by word, the longest first; what is said
/// in a title is said of nothing else. A title has capitals in the text where the catalog has them; one of a
/// single word stands in quotes. Titles are also known without what stands in brackets, and with their
/// article in front; values also with the end of several (comedies).
///
/// # When not to use it
/// Where texts say things in words of their own: "funny" for a comedy is not found, and "no comedy" is taken
/// for "comedy".
#[derive(Debug)]
pub struct Known<'a> {
    catalog: &'a Catalog,
    /// By their words in lower case, with a space between.
    phrases: BTreeMap<String, Phrase>,
    /// How many words the longest has.
    longest: usize,
}

/// What words stand for.
#[derive(Debug, Default)]
struct Phrase {
    /// Titles: the item, and which words have a capital.
    titles: Vec<(ItemId, Vec<bool>)>,
    /// The numbers of attributes with this value.
    attributes: BTreeSet<usize>,
}

/// A word of a text.
struct Word {
    lower: String,
    capital: bool,
    quoted: bool,
}

/// What an explanation says, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Values that one of the items it names, or what it explains, has.
    pub right: usize,
    /// Values that none of them has, though the catalog knows that attribute of one of them.
    pub wrong: usize,
    /// The items that it names beside the one that is explained.
    pub named: Vec<ItemId>,
}

impl<'a> Known<'a> {
    /// What the catalog of `data` knows.
    pub fn new(data: &'a Dataset) -> Self {
        let catalog = &data.catalog;
        let mut known = Self { catalog, phrases: BTreeMap::new(), longest: 0 };
        for item in (0..).map(ItemId).take(data.n_items()) {
            for title in catalog.title(item).iter().flat_map(|title| spellings(title)) {
                let words = words(&title);
                let capitals = words.iter().map(|word| word.capital).collect();
                known.phrase(&words).titles.push((item, capitals));
            }
            for (number, attribute) in catalog.attributes().iter().enumerate() {
                for form in values(&attribute.column, item).iter().flat_map(|value| forms(value)) {
                    known.phrase(&words(&form)).attributes.insert(number);
                }
            }
        }
        known.phrases.remove("");
        known
    }

    fn phrase(&mut self, words: &[Word]) -> &mut Phrase {
        self.longest = self.longest.max(words.len());
        self.phrases.entry(joined(words)).or_default()
    }

    /// Checks what `explanation` says to a user who has met `history`.
    ///
    /// A value is right if what is explained or another item that is named has it: of which of them it is
    /// said is not read.
    pub fn check(&self, explanation: &Explanation, history: &[ItemId]) -> Claims {
        let text = words(&explanation.text);
        let (mut named, mut said) = (Vec::new(), BTreeSet::new());
        let mut at = 0;
        while at < text.len() {
            let most = self.longest.min(text.len() - at);
            let found = (1..=most).rev().find_map(|n| self.at(&text[at..at + n]).map(|is| (n, is)));
            let Some((n, (titles, attributes))) = found else {
                at += 1;
                continue;
            };
            if let Some(first) = titles.first() {
                // Of items with one title that which can be meant.
                let meant = titles.iter().find(|&&item| item == explanation.item);
                let meant = meant.or_else(|| titles.iter().find(|item| history.contains(item)));
                named.push(*meant.unwrap_or(first));
            } else {
                let value = joined(&text[at..at + n]);
                said.extend(attributes.iter().map(|&attribute| (attribute, value.clone())));
            }
            at += n;
        }
        let mut claims = Claims::default();
        for item in named {
            if item != explanation.item && !claims.named.contains(&item) {
                claims.named.push(item);
            }
        }
        for (attribute, value) in said {
            let column = &self.catalog.attributes()[attribute].column;
            let about = std::iter::once(&explanation.item).chain(&claims.named);
            let known: Vec<String> = about.flat_map(|item| values(column, *item)).collect();
            let is = |form: &String| joined(&words(form)) == value;
            if known.iter().any(|known| forms(known).iter().any(is)) {
                claims.right += 1;
            } else if !known.is_empty() {
                claims.wrong += 1;
            }
        }
        claims
    }

    /// The items with these words as their title, and the attributes with them as a value; `None` where
    /// they mean nothing.
    fn at(&self, words: &[Word]) -> Option<(Vec<ItemId>, &BTreeSet<usize>)> {
        let phrase = self.phrases.get(&joined(words))?;
        let stands_alone = words.len() > 1 || words[0].quoted;
        let written = |capitals: &Vec<bool>| {
            capitals.iter().zip(words).all(|(capital, word)| word.capital || !capital)
        };
        let titles = phrase.titles.iter().filter(|(_, capitals)| stands_alone && written(capitals));
        let titles: Vec<ItemId> = titles.map(|(item, _)| *item).collect();
        (!titles.is_empty() || !phrase.attributes.is_empty())
            .then_some((titles, &phrase.attributes))
    }
}

/// The ways in which a title may be written.
fn spellings(title: &str) -> BTreeSet<String> {
    let bare = title.split(['(', '[']).next().unwrap_or_default().trim();
    let mut spellings = BTreeSet::from([title.to_owned(), bare.to_owned()]);
    if let Some((name, article)) = bare.rsplit_once(", ")
        && ARTICLES.contains(&article)
    {
        spellings.extend([format!("{article} {name}"), name.to_owned()]);
    }
    spellings
}

/// The values of an attribute that are looked for.
fn values(column: &Column, item: ItemId) -> Vec<String> {
    match column {
        Column::Categories(rows) => {
            let values = rows.get(item.index()).into_iter().flatten();
            values.filter(|value| value.chars().count() >= SHORTEST).cloned().collect()
        }
        Column::Number(rows) => {
            let value = rows.get(item.index()).copied().flatten();
            let year = value.filter(|value| value.fract() == 0.0 && YEARS.contains(value));
            year.iter().map(ToString::to_string).collect()
        }
        Column::Text(_) => vec![],
    }
}

/// A value, and several of it: comedy, comedies.
fn forms(value: &str) -> [String; 2] {
    let several = match value.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{value}s"),
    };
    [value.to_owned(), several]
}

/// The words of a text, as [`tastemaker_core::catalog::words`] has them.
fn words(text: &str) -> Vec<Word> {
    let mut before = ' ';
    let mut all: Vec<Word> = Vec::new();
    for c in text.chars() {
        if c.is_alphanumeric() {
            if !before.is_alphanumeric() {
                let (lower, quoted) = (String::new(), QUOTES.contains(before));
                all.push(Word { lower, capital: c.is_uppercase(), quoted });
            }
            all.last_mut().expect("one was just pushed").lower.extend(c.to_lowercase());
        }
        before = c;
    }
    all
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| &*word.lower).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::catalog::Attribute;
    use tastemaker_core::{Interactions, UserId};

    fn data() -> Dataset {
        let titles =
            ["Lion King, The", "Heat", "Toy Story (1995)", "It", "Fargo", "Story of War, A"];
        let genres: [&[&str]; 6] = [
            &["Animation", "Musical"],
            &["Crime"],
            &["Animation", "Comedy"],
            &[],
            &["Crime", "War"],
            &["War", "Sci-Fi"],
        ];
        let texts = titles.iter().map(|title| Some((*title).to_owned())).collect();
        let genres = genres.iter().map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        let years = [1994.0, 1995.0, 1995.0, 1990.0, 1996.0, 12.0].map(Some).to_vec();
        let attribute = |name: &str, column| Attribute { name: name.to_owned(), column };
        let attributes = vec![
            attribute("title", Column::Text(texts)),
            attribute("genre", Column::Categories(genres.collect())),
            attribute("year", Column::Number(years)),
        ];
        Dataset {
            items: (0..titles.len()).map(|item| item.to_string()).collect(),
            interactions: Interactions::from_sequences(vec![vec![ItemId(1)]]),
            catalog: Catalog::new(attributes, Some("title")),
            ..Dataset::default()
        }
    }

    fn check(item: u32, text: &str) -> (usize, usize, Vec<u32>) {
        let explanation =
            Explanation { user: UserId(0), item: ItemId(item), text: text.to_owned(), cited: None };
        let Claims { right, wrong, named } = Known::new(&data()).check(&explanation, &[ItemId(1)]);
        (right, wrong, named.iter().map(|item| item.0).collect())
    }

    #[test]
    fn what_is_said_of_items_is_found_and_checked() {
        assert_eq!(check(0, "The Lion King is an animation from 1994."), (2, 0, vec![]));
        assert_eq!(check(0, "Lion King is a crime story from 1995."), (0, 2, vec![]));
        // Of whatever is named it may be said.
        assert_eq!(check(0, "You liked \"Heat\", a crime film of 1995."), (2, 0, vec![1]));
        // Both spellings of sci-fi; what is in a title is said of nothing.
        assert_eq!(check(5, "A Story of War is sci fi."), (1, 0, vec![]));
        assert_eq!(check(2, "Like A Story of War, it is a comedy"), (1, 0, vec![5]));
        assert_eq!(check(2, "For who likes comedies, and wars."), (1, 1, vec![]));
        // A value said twice is one.
        assert_eq!(check(2, "War, war, WAR!"), (0, 1, vec![]));
    }

    #[test]
    fn words_are_no_titles_where_they_are_written_otherwise() {
        assert_eq!(check(4, "It is about heat. Heat rises."), (0, 0, vec![]));
        assert_eq!(check(4, "*It* and 'Heat'"), (0, 0, vec![3, 1]));
        assert_eq!(check(4, "a toy story, with the lion king"), (0, 0, vec![]));
        assert_eq!(check(4, "Toy Story"), (0, 0, vec![2]));
    }

    #[test]
    fn of_what_the_catalog_does_not_know_nothing_is_wrong() {
        // No genre is known of item 3, and no year of item 5.
        assert_eq!(check(3, "A comedy."), (0, 0, vec![]));
        assert_eq!(check(5, "From 1995."), (0, 0, vec![]));
        assert_eq!(check(3, ""), (0, 0, vec![]));
    }
}
