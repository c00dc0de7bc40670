//! From text to tokens.

use std::path::Path;

use rayon::prelude::*;
use tokenizers::{Tokenizer, TruncationParams};

use super::gguf::Gguf;
use super::gguf_tokenizer as gguf;
use crate::checkpoint;
use crate::{Error, Result};

/// The tokenizer of a model, from its `tokenizer.json` or its GGUF file.
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

    /// The tokenizer of the model at `path`, a GGUF file or a folder, which reads at most `longest`
    /// tokens.
    pub fn of_model(path: &Path, longest: usize) -> Result<Self> {
        if path.is_dir() {
            Self::read(&path.join("tokenizer.json"), longest)
        } else {
            Self::read_gguf(path)
        }
    }

    /// Takes the tokenizer out of a GGUF file: byte-level BPE (`tokenizer.ggml.model` is `gpt2`) as
    /// GPT-2, `SmolLM` (every digit alone), `LLaMA` 3 or Qwen2 split texts; or `SentencePiece`'s pieces
    /// with scores (`llama`), as `LLaMA` 2 and Gemma. No text is cut off.
    pub fn read_gguf(path: &Path) -> Result<Self> {
        let file = Gguf::open(path)?;
        let inner = match file.text("tokenizer.ggml.model")? {
            "gpt2" => gguf::byte_pairs(&file)?,
            "llama" => gguf::pieces(&file)?,
            kind => {
                let problem = format!("the tokenizer is {kind:?}, expected \"gpt2\" or \"llama\"");
                return Err(file.failed(problem));
            }
        };
        Ok(Self { inner })
    }

    pub(super) fn of(inner: Tokenizer) -> Self {
        Self { inner }
    }

    pub(super) fn inner(&self) -> &Tokenizer {
        &self.inner
    }

    /// Whether there is a token of this number.
    pub fn knows(&self, token: u32) -> bool {
        self.inner.id_to_token(token).is_some()
    }

    /// How many tokens there are.
    pub fn n_tokens(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The tokens of each text.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>> {
        self.tokens(texts, true)
    }

    /// The tokens of each text and no special ones but those that stand in it.
    pub fn encode_as_it_is<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>> {
        self.tokens(texts, false)
    }

    fn tokens<T: AsRef<str> + Sync>(&self, texts: &[T], special: bool) -> Result<Vec<Vec<u32>>> {
        let encode = |text: &T| match self.inner.encode_fast(text.as_ref(), special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(Error::setting("a text", error, "one that the tokenizer can read")),
        };
        texts.par_iter().map(encode).collect()
    }

    /// The token that stands for `text` itself, if there is one.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// The text of `tokens`, special ones left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.inner.decode(tokens, true);
        text.map_err(|error| Error::setting("tokens", error, "ones that the tokenizer can read"))
    }
}
