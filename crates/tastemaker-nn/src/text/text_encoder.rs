//! Pre-trained language models that make embeddings of texts.

use std::path::Path;

use super::family::Family;
use super::{CausalModel, SentenceEncoder, TextTokenizer, embedded, model_type};
use crate::Result;
use crate::fused::{Past, Precision};

/// The most tokens of a text that a causal model reads.
const LONGEST: usize = 512;

/// A pre-trained language model that makes embeddings of texts.
#[derive(Debug)]
pub enum TextEncoder {
    /// One that was trained to.
    Sentence(Box<SentenceEncoder>),
    /// One that was trained to go on with texts: the mean of the states of a text's first 512 tokens, of length 1.
    Causal(Box<CausalEncoder>),
}

/// A causal language model with its tokenizer.
#[derive(Debug)]
pub struct CausalEncoder {
    model: CausalModel,
    tokenizer: TextTokenizer,
    width: usize,
    hash: String,
}

impl TextEncoder {
    /// Reads the sentence encoder in the folder, or the causal language model in the GGUF file or folder, at
    /// `path`; factors of its products are rounded to `precision`.
    ///
    /// # Errors
    /// As [`SentenceEncoder::read`] and [`CausalModel::read`].
    pub fn read(path: &Path, precision: Precision) -> Result<Self> {
        if !is_causal(path) {
            return Ok(Self::Sentence(Box::new(SentenceEncoder::read(path, precision)?)));
        }
        let tokenizer = TextTokenizer::of_model(path, LONGEST)?;
        let hash = format!("{}-mean-{precision:?}", CausalModel::hash_at(path)?);
        let model = CausalModel::read(path, precision)?;
        let width = model.width();
        Ok(Self::Causal(Box::new(CausalEncoder { model, tokenizer, width, hash })))
    }

    /// Width of an embedding.
    pub fn width(&self) -> usize {
        match self {
            Self::Sentence(encoder) => encoder.width(),
            Self::Causal(encoder) => encoder.width,
        }
    }

    /// Tells its embeddings from those of every other model.
    pub fn hash(&self) -> &str {
        match self {
            Self::Sentence(encoder) => encoder.hash(),
            Self::Causal(encoder) => &encoder.hash,
        }
    }

    /// The embeddings of `texts`: [texts, width].
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<f32>> {
        match self {
            Self::Sentence(encoder) => encoder.encode(texts),
            Self::Causal(encoder) => encoder.encode(texts),
        }
    }
}

/// Whether what is at `path` says that it is a causal language model.
fn is_causal(path: &Path) -> bool {
    path.is_file() || model_type(path).is_some_and(|kind| Family::of(&kind).is_ok())
}

impl CausalEncoder {
    fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<f32>> {
        let mut tokens = self.tokenizer.encode(texts)?;
        let most = LONGEST.min(self.model.longest());
        for tokens in &mut tokens {
            tokens.truncate(most);
        }
        embedded(&tokens, self.width, |tokens| {
            let states = self.model.states(tokens, &mut Past::default(), false)?;
            let mut all = vec![0.0; tokens.len() * self.width];
            let mut rest = &states[..];
            for (tokens, embedding) in tokens.iter().zip(all.chunks_exact_mut(self.width)) {
                let (own, others) = rest.split_at(tokens.len() * self.width);
                mean(own, embedding);
                rest = others;
            }
            Ok(all)
        })
    }
}

/// Adds the rows of `states` to `to`, which is zeros, and makes it of length 1.
fn mean(states: &[f32], to: &mut [f32]) {
    for state in states.chunks_exact(to.len()) {
        to.iter_mut().zip(state).for_each(|(sum, value)| *sum += value);
    }
    let length = to.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    for value in to {
        *value /= length;
    }
}
