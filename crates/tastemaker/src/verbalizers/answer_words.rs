//! Words that answer a question.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankOptions, RecQuery};

use super::{Named, Reader, Verbalize, Verbalizer};
use crate::error::setting;
use crate::prompts::Told;
use crate::trie::log_sum;
use crate::{Error, Result};

/// How much likelier good words are than bad ones as the answer to a question about each candidate.
///
/// # Formula
/// s(i) = log Σ p(w | promptᵢ) over good words w − the same over bad ones: the log-odds of good among
/// good and bad. What the prompts of all candidates have in common is read once.
///
/// # When not to use it
/// With a template that tells the item early: then the prompts have little in common, and every
/// candidate costs a whole prompt.
///
/// # References
/// `TALLRec` (Bao et al. 2023) scores by "Yes" against "No"; answer words as verbalizers: Schick and
/// Schütze 2021, and `Prompt4NR` (Zhang and Wang 2023) for recommendation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AnswerWords {
    /// Words that speak for an item, with what stands before them.
    pub good: Vec<String>,
    /// Words that speak against it.
    pub bad: Vec<String>,
}

impl Default for AnswerWords {
    fn default() -> Self {
        Self { good: vec![" Yes".to_owned()], bad: vec![" No".to_owned()] }
    }
}

struct Prepared {
    /// The tokens of each word, good ones first.
    words: Vec<Vec<u32>>,
    n_good: usize,
}

impl Verbalizer for AnswerWords {
    fn prepare(&self, reader: &Reader) -> Result<Box<dyn Verbalize>> {
        let words: Vec<&String> = self.good.iter().chain(&self.bad).collect();
        let words = reader.tokenizer()?.encode_as_it_is(&words)?;
        Ok(Box::new(Prepared { words, n_good: self.good.len() }))
    }

    fn asks_about_items(&self) -> bool {
        true
    }

    fn answer(&self, _title: &str, right: bool) -> Option<Vec<String>> {
        let words = if right { &self.good } else { &self.bad };
        words.first().map(|word| vec![word.clone()])
    }

    fn problem(&self) -> Option<Error> {
        for (name, words) in [("good", &self.good), ("bad", &self.bad)] {
            if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
                return Some(setting(name, format!("{words:?}"), "one word or more"));
            }
        }
        let both = self.good.iter().find(|word| self.bad.contains(word));
        both.map(|word| setting("bad", format!("{word:?}"), "other words than the good ones"))
    }
}

impl Verbalize for Prepared {
    fn scores(
        &self,
        reader: &Reader,
        query: &RecQuery<'_>,
        _options: &RankOptions<'_>,
    ) -> Result<Named> {
        let candidates = query.candidates.unwrap_or_default();
        let longest = self.words.iter().map(Vec::len).max().unwrap_or_default();
        let prompt = |&item: &ItemId| {
            let told = Told { item: Some(item), ..Told::of(query) };
            Ok(reader.prompter.prompt(&told, longest)?.tokens)
        };
        let prompts: Vec<Vec<u32>> = candidates.iter().map(prompt).collect::<Result<_>>()?;
        let answers: Vec<(usize, &[u32])> = (0..prompts.len())
            .flat_map(|prompt| self.words.iter().map(move |word| (prompt, &word[..])))
            .collect();
        let all = reader.here()?.log_probabilities(&prompts, &answers)?;
        let mut scored = Vec::with_capacity(candidates.len());
        for (&item, answers) in candidates.iter().zip(all.chunks_exact(self.words.len())) {
            let found: Vec<f32> = answers.iter().map(|answer| answer.iter().sum::<f32>()).collect();
            let (good, bad) = found.split_at(self.n_good);
            scored.push((item, log_sum(good) - log_sum(bad)));
        }
        Ok(scored.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_probabilities() {
        let values = [0.2_f32, 0.3, 0.1].map(f32::ln);
        assert!((log_sum(&values) - 0.6_f32.ln()).abs() < 1e-6);
    }
}
