//! Items whose texts mean the same.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{RankedList, RecQuery, Recommender};
use tastemaker_nn::fused::{Precision, View, multiply};

use super::{FitContext, FitRecommender, Given, check, has_texts, without_texts};
use crate::memorisation::{MemorisationProbe, Memorised};
use crate::text::{TextEmbeddings, encoder};
use crate::{Error, Result, cleaning};

/// Items whose texts a pre-trained language model finds like those of the history.
///
/// # What it does
/// Embeds everything that is written about each item and ranks the catalog by the mean similarity
/// to the last items of the history. Nothing learns, so it ranks items that nobody has met. The
/// embeddings are kept in the study's folder `pretrained/`, by what they follow from.
///
/// # Formula
/// s(i) = (1/n) Σⱼ eᵢ · eⱼ over the n last items j of the history, with e of length 1 where the
/// encoder says so: the mean of the cosines.
///
/// # When not to use it
/// Where texts say little. It finds more of the same, and does not know what goes together.
///
/// # References
/// The embeddings are Sentence-BERT's (Reimers and Gurevych 2019); the recommender is the plain
/// content-based one that zero-shot systems are compared with (Hou et al. 2024, `LLMRank`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextSimilarity {
    /// The encoder: the folder of a sentence encoder, or a causal language model's GGUF file or folder, whose mean
    /// states are read.
    pub model: PathBuf,
    /// What the factors of the encoder's products are rounded to.
    pub precision: Precision,
    /// The items of the history, counted from its end, that are compared with.
    pub last_items: usize,
    /// Whether titles are cleaned of what is no part of a name, as in [`crate::clean_title`].
    pub clean_titles: bool,
}

impl Default for TextSimilarity {
    fn default() -> Self {
        Self {
            model: "models/all-minilm-l6-v2".into(),
            precision: Precision::F32,
            last_items: 10,
            clean_titles: false,
        }
    }
}

const NAME: &str = "text-similarity";

struct Fitted {
    last_items: usize,
    embeddings: TextEmbeddings,
}

impl FitRecommender for TextSimilarity {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        if !has_texts(context.data) {
            return Err(without_texts(NAME));
        }
        let catalog = cleaning::catalog(&context.data.catalog, self.clean_titles);
        let (n_items, kept) = (context.data.n_items(), context.pretrained);
        let encoder = (&*self.model, self.precision);
        let embeddings = TextEmbeddings::of_items(&catalog, n_items, encoder, kept)?;
        Ok(Box::new(Fitted { last_items: self.last_items, embeddings }))
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<Error> {
        let texts = (!has_texts(given.data)).then(|| without_texts(NAME));
        let model = encoder(&self.model, self.precision).err();
        texts.into_iter().chain(model.map(|error| error.at("model"))).collect()
    }

    fn memorised(
        &self,
        context: &FitContext<'_>,
        probe: &MemorisationProbe,
    ) -> Result<Option<Memorised>> {
        probe.of_encoder(&self.model, context).map(Some)
    }

    fn problems(&self) -> Vec<Error> {
        check("last-items", self.last_items, 1..=1_000_000).into_iter().collect()
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
        let TextEmbeddings { width, values, .. } = &self.embeddings;
        let n_items = values.len() / width;
        rank_by_scores(queries, options, |queries, scores| {
            let mut means = vec![0.0; queries.len() * width];
            for (query, mean) in queries.iter().zip(means.chunks_exact_mut(*width)) {
                let last = query.history.iter().rev().take(self.last_items);
                let share = 1.0 / last.len().max(1) as f32;
                for item in last {
                    let embedding = self.embeddings.of(*item);
                    mean.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value * share);
                }
            }
            let items = View::rows(values, *width).transposed();
            let shape = (queries.len(), n_items, *width);
            multiply(scores, n_items, shape, View::rows(&means, *width), items);
            Ok(())
        })
    }
}
