//! Items whose titles a language model finds likely after a prompt.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tastemaker_core::catalog::Catalog;
use tastemaker_core::recommender::RankOptions;
use tastemaker_core::{ItemId, RankedList, RecQuery, Recommender};
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::{CausalModel, TextTokenizer};

use super::{FitContext, FitRecommender, Given, check};
use crate::prompts::Template;
use crate::{Error, Result};

/// Candidates whose titles a pre-trained language model finds likely after a prompt that tells the
/// history.
///
/// # What it does
/// Fills the template with the last items of the history, and with fewer of them, the oldest left
/// out first, where the prompt would be longer than the model reads. Then takes the probability of
/// each candidate's title, token by token. Nothing learns: prompt-free tuning, as `PLM-Rec`'s and
/// `LLMRank`'s zero-shot rankers. It names no item that does not exist. Every candidate is read, so
/// it ranks among sampled items alone.
///
/// # Formula
/// s(i) = Σₜ log p(titleₜ | prompt, title before t), divided by the title's tokens if `per-token`;
/// less the same after a prompt with an empty history, if `calibrated`.
///
/// # When not to use it
/// Where titles say little, and on public data without asking whether the model knows it by heart.
///
/// # References
/// Sanner et al. 2023, *Large language models are competitive near cold-start recommenders*; Hou et
/// al. 2024, `LLMRank`; calibration: Zhao et al. 2021, *Calibrate before use*, and Holtzman et al.
/// 2021, *Surface form competition*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextLikelihood {
    /// A GGUF file, or a folder as `transformers` leaves it.
    pub model: PathBuf,
    /// What the factors of the model's products are rounded to.
    pub precision: Precision,
    /// What the model is told; see [`Template`].
    pub template: String,
    /// What stands before the title, as part of what is to be likely.
    pub before_title: String,
    /// The items of the history, counted from its end, that are told.
    pub last_items: usize,
    /// Whether a title's length is divided by.
    pub per_token: bool,
    /// Whether what the title has without a history is subtracted.
    pub calibrated: bool,
}

impl Default for TextLikelihood {
    fn default() -> Self {
        Self {
            model: "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf".into(),
            precision: Precision::F32,
            template: "A customer has chosen, in this order:\n\
                       {% for item in history %}{{ item.title }}\n{% endfor %}"
                .to_owned(),
            before_title: String::new(),
            last_items: 10,
            per_token: true,
            calibrated: true,
        }
    }
}

const NAME: &str = "text-likelihood";

struct Fitted {
    settings: TextLikelihood,
    template: Template,
    model: CausalModel,
    tokenizer: TextTokenizer,
    catalog: Catalog,
    /// The tokens of each item's title; nothing where there is none.
    titles: Vec<Vec<u32>>,
    /// What titles have without a history.
    alone: Mutex<HashMap<ItemId, f32>>,
}

impl FitRecommender for TextLikelihood {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let catalog = &context.data.catalog;
        if catalog.title_attribute().is_none() {
            return Err(without_titles());
        }
        let model = CausalModel::read(&self.model, self.precision)?;
        let tokenizer = TextTokenizer::of_model(&self.model, model.longest())?;
        let items = (0..).map(ItemId).take(context.data.n_items());
        let title = |item| match catalog.title(item) {
            Some(title) if !title.trim().is_empty() => format!("{}{title}", self.before_title),
            _ => String::new(),
        };
        let titles: Vec<String> = items.map(title).collect();
        Ok(Box::new(Fitted {
            settings: self.clone(),
            template: Template::parse(&self.template)?,
            titles: tokenizer.encode(&titles)?,
            model,
            tokenizer,
            catalog: catalog.clone(),
            alone: Mutex::default(),
        }))
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<Error> {
        let titles = given.data.catalog.title_attribute().is_none().then(without_titles);
        let model = TextTokenizer::of_model(&self.model, usize::MAX).err();
        titles.into_iter().chain(model.map(|error| Error::from(error).at("model"))).collect()
    }

    fn problems(&self) -> Vec<Error> {
        let template = Template::parse(&self.template).err().map(|error| error.at("template"));
        let last_items = check("last-items", self.last_items, 1..=1_000_000);
        template.into_iter().chain(last_items).collect()
    }

    fn needs_candidates(&self) -> bool {
        true
    }
}

fn without_titles() -> Error {
    let reason = "the items have no titles".to_owned();
    tastemaker_core::Error::Unsuitable { recommender: NAME, reason }.into()
}

impl Fitted {
    /// What each candidate has after the prompt of `history`.
    fn scores(&self, history: &[ItemId], candidates: &[ItemId]) -> Result<Vec<f32>> {
        let titles: Vec<&[u32]> =
            candidates.iter().map(|item| &self.titles[item.index()][..]).collect();
        let longest = titles.iter().map(|title| title.len()).max().unwrap_or_default();
        let prompt = self.prompt(history, candidates, longest)?;
        let of_title = |tokens: Vec<f32>| {
            // What has no title comes last.
            let n = if self.settings.per_token { tokens.len() as f32 } else { 1.0 };
            if tokens.is_empty() { f32::MIN } else { tokens.iter().sum::<f32>() / n }
        };
        let all = self.model.log_probabilities(&prompt, &titles)?;
        Ok(all.into_iter().map(of_title).collect())
    }

    /// The tokens of the prompt, which leaves room for a title of `longest`.
    fn prompt(
        &self,
        history: &[ItemId],
        candidates: &[ItemId],
        longest: usize,
    ) -> Result<Vec<u32>> {
        let last = &history[history.len().saturating_sub(self.settings.last_items)..];
        let most = self.model.longest().saturating_sub(longest);
        for first in 0..=last.len() {
            let text = self.template.render(&self.catalog, &last[first..], candidates)?;
            let tokens = self.tokenizer.encode(&[text])?.remove(0);
            if (1..=most).contains(&tokens.len()) {
                return Ok(tokens);
            }
        }
        let expected = format!("from 1 to {most} tokens where the history is left out");
        Err(crate::error::setting("the prompt", "empty or too long", expected))
    }

    /// What the candidates have without a history.
    fn alone(&self, candidates: &[ItemId]) -> Result<Vec<f32>> {
        let mut known = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown: Vec<ItemId> =
            candidates.iter().copied().filter(|item| !known.contains_key(item)).collect();
        if !unknown.is_empty() {
            let scores = self.scores(&[], &unknown)?;
            known.extend(unknown.into_iter().zip(scores));
        }
        Ok(candidates.iter().map(|item| known[item]).collect())
    }

    fn rank(&self, query: &RecQuery<'_>, options: &RankOptions<'_>) -> Result<RankedList> {
        let Some(candidates) = query.candidates else {
            let reason = "it reads every candidate, so it ranks among sampled items alone";
            let reason = reason.to_owned();
            return Err(tastemaker_core::Error::Unsuitable { recommender: NAME, reason }.into());
        };
        let mut scores = self.scores(query.history, candidates)?;
        if self.settings.calibrated {
            for (score, alone) in scores.iter_mut().zip(self.alone(candidates)?) {
                *score = if alone > f32::MIN { *score - alone } else { *score };
            }
        }
        let scored = candidates.iter().copied().zip(scores);
        Ok(options.ties.top_n(scored, options.n))
    }
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let failed = |error: Error| match error {
            Error::Core(error) => error,
            error => {
                tastemaker_core::Error::Recommender { recommender: NAME, source: error.into() }
            }
        };
        queries.iter().map(|query| self.rank(query, options).map_err(failed)).collect()
    }
}
