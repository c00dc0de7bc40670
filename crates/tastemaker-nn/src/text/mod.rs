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

/// What a model's folder says of it.
fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| tastemaker_core::Error::read(path, source))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Checkpoint { path: path.to_owned(), problem: error.to_string() })
}
