//! From text to tokens.

use std::path::Path;

use rayon::prelude::*;
use tokenizers::{Tokenizer, TruncationParams};

use crate::checkpoint;
use crate::{Error, Result};

/// The tokenizer of a model, from its `tokenizer.json`.
///
/// Special tokens stand where the file says. Of a text that is too long the beginning is kept, with
/// the special tokens around it.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Tokenizer,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`, for a model that reads at most `longest` tokens.
    pub fn read(path: &Path, longest: usize) -> Result<Self> {
        let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
        let bytes = checkpoint::read(path)?;
        let mut inner = Tokenizer::from_bytes(&bytes)
            .map_err(|error| failed(format!("this is no tokenizer.json: {error}")))?;
        let truncation = TruncationParams { max_length: longest, ..TruncationParams::default() };
        let truncated = inner.with_padding(None).with_truncation(Some(truncation));
        truncated.map_err(|error| {
            failed(format!("texts cannot be cut off after {longest} tokens: {error}"))
        })?;
        Ok(Self { inner })
    }

    /// How many tokens there are.
    pub fn n_tokens(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The tokens of each text.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>> {
        let encode = |text: &T| match self.inner.encode_fast(text.as_ref(), true) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(Error::setting("a text", error, "one that the tokenizer can read")),
        };
        texts.par_iter().map(encode).collect()
    }
}
