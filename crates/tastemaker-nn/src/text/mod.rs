//! Language models over text that were trained by others, read from the files as they come.

mod blocks;
mod causal_model;
mod chat;
mod family;
mod folder;
mod gguf;
mod gguf_tokenizer;
mod sentence_encoder;
mod t5;
mod text_encoder;
mod text_model;
mod tokenizer;
mod tokenizer_training;
mod trainable;
mod weights;

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use crate::fused::Past;
pub use causal_model::CausalModel;
pub use chat::{ChatFormat, ends_of_model};
pub use sentence_encoder::SentenceEncoder;
pub use t5::T5;
pub use text_encoder::{CausalEncoder, TextEncoder};
pub use text_model::TextModel;
pub use tokenizer::TextTokenizer;
pub use tokenizer_training::Division;

use crate::{Error, Result};

/// Texts that are embedded together.
const BATCH: usize = 64;

/// The token of the largest logit, the first of equal ones.
fn most_likely(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, &logit) in (0..).zip(logits) {
        if best.is_none_or(|(_, most)| logit > most) {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token)
}

/// What the folder at `path` says it holds; `None` of what is no folder or says nothing.
fn model_type(path: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        model_type: String,
    }
    json::<Kind>(&path.join("config.json")).ok().map(|kind| kind.model_type)
}

/// What `embed` makes of texts with these tokens, some at a time: [texts, width].
fn embedded(
    tokens: &[Vec<u32>],
    width: usize,
    embed: impl Fn(&[&[u32]]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    // Texts of like length together, so that the lanes of a batch have as much to do.
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(tokens[text].len()));
    let mut all = vec![0.0; tokens.len() * width];
    for batch in order.chunks(BATCH) {
        // Nothing at all, where a tokenizer adds nothing to it, is read as the first token.
        let of = |&text: &usize| if tokens[text].is_empty() { &[0][..] } else { &tokens[text] };
        let embeddings = embed(&batch.iter().map(of).collect::<Vec<_>>())?;
        for (&text, embedding) in batch.iter().zip(embeddings.chunks_exact(width)) {
            all[text * width..][..width].copy_from_slice(embedding);
        }
    }
    Ok(all)
}

/// What a model's folder says of it.
fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| tastemaker_core::Error::read(path, source))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Checkpoint { path: path.to_owned(), problem: error.to_string() })
}
