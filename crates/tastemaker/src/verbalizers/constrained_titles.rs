//! Titles that can be written, and no others.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankOptions, RecQuery};
use tastemaker_nn::text::{CausalModel, Past, TextModel};

use super::{Named, Reader, Verbalize, Verbalizer};
use crate::error::setting;
use crate::prompts::Told;
use crate::recommenders::check;
use crate::trie::{Beam, MOST_BEAMS, Search, Trie, search_all};
use crate::{Error, Result};

/// Titles that the model writes itself, where at each token only those are allowed with which some
/// title of the catalog goes on: an item that does not exist cannot come out.
///
/// # Formula
/// s(i) = Σₜ log p(tokenₜ | prompt, tokens before t) over the title's tokens and what ends it, by
/// softmax over all tokens, not only those that are allowed. Beam search keeps the best `beams`
/// beginnings of each length, or as many as a longer list asks for up to 100, and ends when none of them can still become one of the best; since
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
    /// What ends a title, so that one that begins another can be written; a T5 ends it by its own
    /// token.
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
        let end = match reader.here()? {
            TextModel::Causal(_) => reader.tokenizer()?.encode_as_it_is(&[after_title])?.concat(),
            TextModel::T5(model) => vec![model.end()],
        };
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

impl Verbalize for Prepared {
    fn scores(
        &self,
        reader: &Reader,
        query: &RecQuery<'_>,
        options: &RankOptions<'_>,
    ) -> Result<Named> {
        let prompt = reader.prompter.prompt(&Told::of(query), self.longest)?.tokens;
        let of = |item: ItemId| &self.titles[item.index()][..];
        let beams = self.beams.max(options.n.min(MOST_BEAMS));
        let model = match reader.here()? {
            TextModel::Causal(model) => model,
            TextModel::T5(model) => {
                let begin = vec![model.begin()];
                let mut searches = [Search::new((&self.all, of), (query, options), beams, begin)];
                let memory = model.memory(&[prompt])?;
                search_all(&mut searches, (model.model(), memory), |states| model.logits(states))?;
                let [search] = searches;
                return Ok(search.found().into());
            }
        };
        let (&last, before) = prompt
            .split_last()
            .ok_or_else(|| setting("the prompt", "empty", "one token at least"))?;
        let mut search = Search::new((&self.all, of), (query, options), beams, vec![last]);
        let mut past = Past::default();
        if !before.is_empty() {
            model.states(&[before], &mut past, true)?;
        }
        while !search.beams().is_empty() {
            let scores = scores_after(model, &mut past, search.beams())?;
            let n_tokens = scores.len() / search.beams().len();
            search.go_on(&mut scores.chunks_exact(n_tokens));
        }
        Ok(search.found().into())
    }
}

/// The scores of all tokens after each beginning: [beams, tokens].
fn scores_after(model: &CausalModel, past: &mut Past, beams: &[Beam]) -> Result<Vec<f32>> {
    let sequences: Vec<&[u32]> = beams.iter().map(|beam| &beam.tokens[..]).collect();
    let states = model.states(&sequences, past, false)?;
    let width = states.len() / sequences.iter().map(|tokens| tokens.len()).sum::<usize>();
    let mut ends = Vec::with_capacity(beams.len() * width);
    let mut at = 0;
    for tokens in &sequences {
        at += tokens.len();
        ends.extend_from_slice(&states[(at - 1) * width..at * width]);
    }
    Ok(model.logits(&ends))
}
