//! The likelihood of titles.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankOptions, RecQuery};

use super::{Named, Reader, Verbalize, Verbalizer};
use crate::Result;
use crate::prompts::Told;

/// The probability of each candidate's title, token by token.
///
/// # Formula
/// s(i) = Σₜ log p(titleₜ | prompt, title before t), divided by the title's tokens if `per-token`;
/// less the same after a prompt with an empty history, if `calibrated`.
///
/// # When not to use it
/// Where titles say little, and on public data without asking whether the model knows it by heart.
///
/// # References
/// Sanner et al. 2023, *Large language models are competitive near cold-start recommenders*;
/// calibration: Zhao et al. 2021, *Calibrate before use*, and Holtzman et al. 2021, *Surface form
/// competition*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Likelihood {
    /// What stands before the title, as part of what is to be likely, such as a space where the
    /// prompt ends in a word.
    pub before_title: String,
    /// Whether a title's length is divided by.
    pub per_token: bool,
    /// Whether what the title has without a history is subtracted.
    pub calibrated: bool,
}

impl Default for Likelihood {
    fn default() -> Self {
        Self { before_title: String::new(), per_token: true, calibrated: true }
    }
}

struct Prepared {
    settings: Likelihood,
    /// The tokens of each item's title; nothing where there is none.
    titles: Vec<Vec<u32>>,
    /// What titles have without a history.
    alone: Mutex<HashMap<ItemId, f32>>,
}

impl Verbalizer for Likelihood {
    fn prepare(&self, reader: &Reader) -> Result<Box<dyn Verbalize>> {
        Ok(Box::new(Prepared {
            settings: self.clone(),
            titles: reader.titles(|title| format!("{}{title}", self.before_title))?,
            alone: Mutex::default(),
        }))
    }

    fn answer(&self, title: &str, right: bool) -> Option<Vec<String>> {
        right.then(|| vec![format!("{}{title}", self.before_title)])
    }
}

impl Prepared {
    /// What each candidate has after the prompt that tells this.
    fn after(&self, reader: &Reader, told: &Told<'_>) -> Result<Vec<f32>> {
        let titles: Vec<&[u32]> =
            told.candidates.iter().map(|item| &self.titles[item.index()][..]).collect();
        let longest = titles.iter().map(|title| title.len()).max().unwrap_or_default();
        let prompt = reader.prompter.prompt(told, longest)?;
        let of_title = |tokens: Vec<f32>| {
            // What has no title comes last.
            let n = if self.settings.per_token { tokens.len() as f32 } else { 1.0 };
            if tokens.is_empty() { f32::MIN } else { tokens.iter().sum::<f32>() / n }
        };
        let answers: Vec<(usize, &[u32])> = titles.into_iter().map(|title| (0, title)).collect();
        let all = reader.here()?.log_probabilities(&[prompt.tokens], &answers)?;
        Ok(all.into_iter().map(of_title).collect())
    }

    /// What the candidates have without a history, kept where the prompt is the same for everybody.
    fn alone(&self, reader: &Reader, query: &RecQuery<'_>) -> Result<Vec<f32>> {
        let candidates = query.candidates.unwrap_or_default();
        if ["candidates", "user"].iter().any(|slot| reader.prompter.speaks_of(slot)) {
            return self.after(reader, &Told { history: &[], ..Told::of(query) });
        }
        let mut known = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown: Vec<ItemId> =
            candidates.iter().copied().filter(|item| !known.contains_key(item)).collect();
        if !unknown.is_empty() {
            let scores = self.after(reader, &Told { candidates: &unknown, ..Told::default() })?;
            known.extend(unknown.into_iter().zip(scores));
        }
        Ok(candidates.iter().map(|item| known[item]).collect())
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
        let mut scores = self.after(reader, &Told::of(query))?;
        if self.settings.calibrated {
            for (score, alone) in scores.iter_mut().zip(self.alone(reader, query)?) {
                *score = if alone > f32::MIN { *score - alone } else { *score };
            }
        }
        Ok(candidates.iter().copied().zip(scores).collect::<Vec<_>>().into())
    }
}
