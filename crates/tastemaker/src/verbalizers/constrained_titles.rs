//! Titles that can be written, and no others.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankOptions, RecQuery};
use tastemaker_nn::text::Past;

use super::{Named, Reader, Verbalize, Verbalizer};
use crate::error::setting;
use crate::prompts::Told;
use crate::recommenders::check;
use crate::trie::{Step, Trie};
use crate::{Error, Result};

/// Titles that the model writes itself, where at each token only those are allowed with which some
/// title of the catalog goes on: an item that does not exist cannot come out.
///
/// # Formula
/// s(i) = Σₜ log p(tokenₜ | prompt, tokens before t) over the title's tokens and what ends it, by
/// softmax over all tokens, not only those that are allowed. Beam search keeps the best `beams`
/// beginnings of each length, and ends when none of them can still become one of the best; since
/// every token makes a title less likely, that is certain. With as many beams as titles it is the
/// likelihood of every title, exactly.
///
/// # When not to use it
/// Where every item must have a score: what no beam finds is not ranked. Long titles are less likely
/// than short ones.
///
/// # References
/// De Cao et al. 2021, *Autoregressive entity retrieval* (GENRE), for beam search constrained by a
/// trie; Rajput et al. 2023 (TIGER) and Hua et al. 2023 for recommendation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ConstrainedTitles {
    /// Beginnings that are kept.
    pub beams: usize,
    /// What stands before the title, as part of what is written.
    pub before_title: String,
    /// What ends a title, so that one that begins another can be written.
    pub after_title: String,
}

impl Default for ConstrainedTitles {
    fn default() -> Self {
        Self { beams: 20, before_title: String::new(), after_title: "\n".to_owned() }
    }
}

struct Prepared {
    beams: usize,
    titles: Vec<Vec<u32>>,
    longest: usize,
    all: Trie,
}

impl Verbalizer for ConstrainedTitles {
    fn prepare(&self, reader: &Reader) -> Result<Box<dyn Verbalize>> {
        let Self { before_title, after_title, .. } = self;
        let mut titles = reader.titles(|title| format!("{before_title}{title}"))?;
        // Apart, so that it has the same tokens after every title.
        let end = reader.tokenizer()?.encode_as_it_is(&[after_title])?.concat();
        for title in titles.iter_mut().filter(|title| !title.is_empty()) {
            title.extend(&end);
        }
        let all = Trie::new((0..).map(ItemId).zip(titles.iter().map(Vec::as_slice)));
        let longest = titles.iter().map(Vec::len).max().unwrap_or_default();
        Ok(Box::new(Prepared { beams: self.beams, titles, longest, all }))
    }

    fn needs_candidates(&self) -> bool {
        false
    }

    fn answer(&self, title: &str, right: bool) -> Option<Vec<String>> {
        let Self { before_title, after_title, .. } = self;
        right.then(|| vec![format!("{before_title}{title}"), after_title.clone()])
    }

    fn problem(&self) -> Option<Error> {
        let ends = || setting("after-title", "empty", "something that ends a title");
        let beams = check("beams", self.beams, 1..=10_000);
        beams.or_else(|| self.after_title.is_empty().then(ends))
    }
}

/// The beginning of a title.
struct Beam {
    tokens: Vec<u32>,
    node: usize,
    score: f32,
}

impl Verbalize for Prepared {
    fn scores(
        &self,
        reader: &Reader,
        query: &RecQuery<'_>,
        options: &RankOptions<'_>,
    ) -> Result<Named> {
        let own = query.candidates.map(|candidates| {
            Trie::new(candidates.iter().map(|&item| (item, &self.titles[item.index()][..])))
        });
        let trie = own.as_ref().unwrap_or(&self.all);
        let prompt = reader.prompter.prompt(&Told::of(query), self.longest)?.tokens;
        let seen: HashSet<ItemId> = options.seen(query).iter().copied().collect();
        Ok(self.search(reader, (trie, &seen), &prompt, options.n)?.into())
    }
}

impl Prepared {
    /// The best `n` titles of `trie` that are found, but those of `seen`.
    fn search(
        &self,
        reader: &Reader,
        (trie, seen): (&Trie, &HashSet<ItemId>),
        prompt: &[u32],
        n: usize,
    ) -> Result<Vec<(ItemId, f32)>> {
        let (&last, before) = prompt
            .split_last()
            .ok_or_else(|| setting("the prompt", "empty", "one token at least"))?;
        let mut past = Past::default();
        if !before.is_empty() {
            reader.here()?.states(&[before], &mut past, true)?;
        }
        let mut beams = vec![Beam { tokens: vec![last], node: Trie::ROOT, score: 0.0 }];
        let mut found: Vec<(ItemId, f32)> = Vec::new();
        while !beams.is_empty() {
            beams = self.longer(reader, trie, &mut past, &beams)?;
            for beam in &beams {
                let items = trie.items(beam.node).iter().filter(|item| !seen.contains(item));
                found.extend(items.map(|&item| (item, beam.score)));
            }
            beams.retain(|beam| trie.next(beam.node).next().is_some());
            if n > 0 && found.len() >= n {
                found.sort_by(|a, b| b.1.total_cmp(&a.1));
                let worst = found[n - 1].1;
                // What is longer is less likely.
                beams.retain(|beam| beam.score >= worst);
            }
        }
        Ok(found)
    }

    /// The best beginnings that are one token longer.
    fn longer(
        &self,
        reader: &Reader,
        trie: &Trie,
        past: &mut Past,
        beams: &[Beam],
    ) -> Result<Vec<Beam>> {
        let sequences: Vec<&[u32]> = beams.iter().map(|beam| &beam.tokens[..]).collect();
        let states = reader.here()?.states(&sequences, past, false)?;
        let width = states.len() / sequences.iter().map(|tokens| tokens.len()).sum::<usize>();
        let mut ends = Vec::with_capacity(beams.len() * width);
        let mut at = 0;
        for tokens in &sequences {
            at += tokens.len();
            ends.extend_from_slice(&states[(at - 1) * width..at * width]);
        }
        let logits = reader.here()?.logits(&ends);
        let mut rows = logits.chunks_exact(logits.len() / beams.len());
        let beginnings = beams.iter().map(|beam| (beam.node, beam.score));
        let steps = trie.steps(beginnings, &mut rows, |_| true, self.beams);
        let beam = |Step { from, token, node, score }| Beam {
            tokens: [&beams[from].tokens[..], &[token]].concat(),
            node,
            score,
        };
        Ok(steps.into_iter().map(beam).collect())
    }
}
