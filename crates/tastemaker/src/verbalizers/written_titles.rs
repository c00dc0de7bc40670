//! Titles that a model writes as it likes.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tastemaker_core::catalog::words;
use tastemaker_core::{ItemId, RankOptions, RecQuery};

use super::{Named, Reader, Verbalize, Verbalizer};
use crate::prompts::Told;
use crate::recommenders::check;
use crate::{Error, Result};

/// Titles that the model writes as it likes, each line taken for the item whose title it is.
///
/// # What it does
/// Lets the model answer, the likeliest token each time, and goes through the lines of the answer. A
/// line without its number or dash is taken for the item with the same words; or with the longest
/// title whose words it contains, one after the other; or with the most similar title, if it is
/// similar enough. What is taken for none counts as invalid (metric `invalid-rate`); lines that end
/// in a colon, and items that were named before, count as nothing. Items are ranked in the order in
/// which they are named.
///
/// # When not to use it
/// Where an item that does not exist must not be named: that is `constrained-titles`. A model that
/// names few of the candidates ranks few of them; a T5, whose tokens have no line ends, names one.
///
/// # References
/// Hou et al. 2024, `LLMRank`, whose parser looks for titles in lines likewise; the similarity is 1 −
/// Levenshtein's distance over the longer of two texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WrittenTitles {
    /// The most tokens of an answer; an endpoint has its own.
    pub most_tokens: usize,
    /// How similar a line must be to a title to be taken for it, from 0 to 1.
    pub similar: f64,
}

impl Default for WrittenTitles {
    fn default() -> Self {
        Self { most_tokens: 256, similar: 0.9 }
    }
}

struct Prepared {
    settings: WrittenTitles,
    /// The words of each item's title.
    titles: Vec<String>,
}

impl Verbalizer for WrittenTitles {
    fn prepare(&self, reader: &Reader) -> Result<Box<dyn Verbalize>> {
        let data = reader.prompter.data();
        let items = (0..).map(ItemId).take(data.n_items());
        let title = |item| plain(data.catalog.title(item).unwrap_or_default());
        Ok(Box::new(Prepared { settings: self.clone(), titles: items.map(title).collect() }))
    }

    fn needs_candidates(&self) -> bool {
        false
    }

    fn needs_probabilities(&self) -> bool {
        false
    }

    fn answer(&self, title: &str, right: bool) -> Option<Vec<String>> {
        right.then(|| vec![title.to_owned()])
    }

    fn ends_by_itself(&self) -> bool {
        true
    }

    fn problem(&self) -> Option<Error> {
        let most = check("most-tokens", self.most_tokens, 1..=100_000);
        most.or_else(|| check("similar", self.similar, 0.0..=1.0))
    }
}

impl Verbalize for Prepared {
    fn scores(
        &self,
        reader: &Reader,
        query: &RecQuery<'_>,
        options: &RankOptions<'_>,
    ) -> Result<Named> {
        let text = reader.write(&Told::of(query), self.settings.most_tokens)?;
        let among: Option<HashSet<ItemId>> =
            query.candidates.map(|candidates| candidates.iter().copied().collect());
        let seen = options.seen(query);
        let mut named = Named::default();
        let mut known: HashSet<ItemId> = HashSet::new();
        let answer = without_thoughts(&text);
        for line in answer.lines().filter(|line| !line.trim_end().ends_with(':')) {
            let line = plain(without_mark(line));
            if line.is_empty() {
                continue;
            }
            match self.item(&line, among.as_ref()) {
                Some(item) if known.insert(item) => {
                    named.named += 1;
                    if !seen.contains(&item) {
                        let place = named.items.len() as f32;
                        named.items.push((item, -place));
                    }
                }
                Some(_) => {}
                None => {
                    named.named += 1;
                    named.invalid += 1;
                }
            }
        }
        Ok(named)
    }
}

impl Prepared {
    /// The item that a line is taken for, if it is one of those `among` which there is a choice. It is
    /// looked for in the whole catalog: the name of another item must not pass for a shorter one.
    fn item(&self, line: &str, among: Option<&HashSet<ItemId>>) -> Option<ItemId> {
        let title = |item: &ItemId| &self.titles[item.index()][..];
        let items = || (0..).map(ItemId).take(self.titles.len());
        let titled = || items().filter(|item| !title(item).is_empty());
        let can_be = |item: &ItemId| among.is_none_or(|among| among.contains(item));
        // Of items with the same title the first that can be.
        let called = |name: &str| titled().find(|item| title(item) == name && can_be(item));
        if titled().any(|item| title(&item) == line) {
            return called(line);
        }
        let spaced = format!(" {line} ");
        let contained = titled().filter(|item| spaced.contains(&format!(" {} ", title(item))));
        // Of equally long ones the first.
        if let Some(item) = contained.min_by_key(|item| std::cmp::Reverse(title(item).len())) {
            return called(title(&item));
        }
        let mut best: Option<(f64, ItemId)> = None;
        for item in titled() {
            let similar = strsim::normalized_levenshtein(title(&item), line);
            if similar >= self.settings.similar && best.is_none_or(|(most, _)| similar > most) {
                best = Some((similar, item));
            }
        }
        best.and_then(|(_, item)| called(title(&item)))
    }
}

/// The words of a text, with a space between them; & is one of them.
fn plain(text: &str) -> String {
    let text = text.replace("&amp;", "&").replace('&', " and ");
    words(&text).collect::<Vec<_>>().join(" ")
}

/// An answer without what a model that thinks first has thought.
fn without_thoughts(text: &str) -> &str {
    text.rsplit_once("</think>").map_or(text, |(_, answer)| answer)
}

/// A line without the number, dash or star that it may begin with.
fn without_mark(line: &str) -> &str {
    let line = line.trim_start();
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.chars().next() {
        Some('.' | ')') if rest.len() < line.len() => &rest[1..],
        _ => line.trim_start_matches(['-', '*', '•', ' ']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_for_titles_they_mean() {
        let titles = ["Halo", "Halo 3", "The Legend of Zelda", "", "2048"];
        let prepared = Prepared {
            settings: WrittenTitles::default(),
            titles: titles.iter().map(|title| plain(title)).collect(),
        };
        let of = |line: &str| prepared.item(&plain(without_mark(line)), None).map(|item| item.0);
        assert_eq!(of("Halo"), Some(0));
        assert_eq!(of("2. Halo 3"), Some(1));
        assert_eq!(of("- \"The Legend of Zelda\" (1986)"), Some(2));
        assert_eq!(of("3) The Legend of Zelda"), Some(2));
        assert_eq!(of("The Lgend of Zelda"), Some(2));
        assert_eq!(of("2048"), Some(4));
        assert_eq!(of("I recommend Halo 3, since you like it"), Some(1));
        assert_eq!(of("Halogen"), None);
        assert_eq!(of("Tetris"), None);
        // Another item's name is not that of a shorter one.
        let among = HashSet::from([0, 2].map(ItemId));
        assert_eq!(prepared.item(&plain("Halo 3"), Some(&among)), None);
        assert_eq!(prepared.item(&plain("Halo"), Some(&among)), Some(ItemId(0)));
        assert_eq!(without_thoughts("<think>Halo?</think>Tetris"), "Tetris");
    }
}
