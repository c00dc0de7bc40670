//! Items whose texts are alike.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tastemaker_core::catalog::{Catalog, words as words_of};
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{ItemId, RankedList, RecQuery, Recommender};

use super::{FitContext, FitRecommender, Given, check, has_texts, without_texts};
use crate::{Result, cleaning};

/// Items whose texts are like those of the history (Robertson's BM25).
///
/// # What it does
/// Takes the words of the last items of the history for a query and ranks the catalog's texts by
/// it. Words are runs of letters and digits in lower case; a word that the query holds twice
/// counts twice. It learns from texts only, so it ranks items that nobody has met.
///
/// # Formula
/// Σ over words of log(1 + (N − n + ½)/(n + ½)) · f / (f + k₁ (1 − b + b l / l̄)), with N items, n of
/// them with the word, f its number in the item's text of l words, and l̄ the mean of l.
///
/// # When not to use it
/// Where texts say little, such as lists of attribute numbers.
///
/// # References
/// Robertson and Zaragoza 2009; the form is Lucene's since version 8 (Kamphuis et al. 2020).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bm25 {
    /// How fast repetitions of a word count less.
    pub k1: f64,
    /// How much long texts are held against an item, from 0 to 1.
    pub b: f64,
    /// The items of the history, counted from its end, whose texts are the query.
    pub last_items: usize,
    /// Whether titles are cleaned of what is no part of a name, as in [`crate::clean_title`].
    pub clean_titles: bool,
}

impl Default for Bm25 {
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75, last_items: 10, clean_titles: false }
    }
}

/// What a word adds to the scores of the items that have it.
type Posting = Vec<(ItemId, f32)>;

struct Fitted {
    last_items: usize,
    /// The words of each item, as numbers.
    words: Vec<Vec<u32>>,
    postings: Vec<Posting>,
}

impl FitRecommender for Bm25 {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let fitted = self.index(
            &cleaning::catalog(&context.data.catalog, self.clean_titles),
            context.data.n_items(),
        );
        if fitted.postings.is_empty() {
            return Err(without_texts("bm25"));
        }
        Ok(Box::new(fitted))
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<crate::Error> {
        if has_texts(given.data) { vec![] } else { vec![without_texts("bm25")] }
    }

    fn problems(&self) -> Vec<crate::Error> {
        let k1 = check("k1", self.k1, 0.0..=100.0);
        let last_items = check("last-items", self.last_items, 1..=1_000_000);
        k1.into_iter().chain(check("b", self.b, 0.0..=1.0)).chain(last_items).collect()
    }
}

impl Bm25 {
    fn index(&self, catalog: &Catalog, n_items: usize) -> Fitted {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut words: Vec<Vec<u32>> = Vec::with_capacity(n_items);
        for item in (0..).map(ItemId).take(n_items) {
            let text = catalog.text(item);
            let of_item = words_of(&text).map(|word| {
                let next = u32::try_from(numbers.len()).expect("fewer than 2^32 words");
                *numbers.entry(word).or_insert(next)
            });
            words.push(of_item.collect());
        }
        let mean_length = words.iter().map(Vec::len).sum::<usize>() as f64 / n_items.max(1) as f64;
        let mut frequencies: Vec<Vec<(ItemId, u32)>> = vec![Vec::new(); numbers.len()];
        for (item, words) in (0..).map(ItemId).zip(&words) {
            let mut sorted = words.clone();
            sorted.sort_unstable();
            for run in sorted.chunk_by(|a, b| a == b) {
                let times = u32::try_from(run.len()).expect("texts are short");
                frequencies[run[0] as usize].push((item, times));
            }
        }
        let posting = |items: Vec<(ItemId, u32)>| {
            let (all, with) = (n_items as f64, items.len() as f64);
            let rarity = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
            let weight = |(item, times): (ItemId, u32)| {
                let length = words[item.index()].len() as f64 / mean_length;
                let times = f64::from(times);
                let weight = rarity * times / (times + self.k1 * (1.0 - self.b + self.b * length));
                #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
                (item, weight as f32)
            };
            items.into_iter().map(weight).collect()
        };
        let postings = frequencies.into_iter().map(posting).collect();
        Fitted { last_items: self.last_items, postings, words }
    }
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        "bm25"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let n_items = self.words.len();
        rank_by_scores(queries, options, |queries, scores| {
            for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(n_items)) {
                for item in query.history.iter().rev().take(self.last_items) {
                    for &word in &self.words[item.index()] {
                        for (other, weight) in &self.postings[word as usize] {
                            scores[other.index()] += weight;
                        }
                    }
                }
            }
            Ok(())
        })
    }
}
