//! From text to tokens.

use std::path::Path;

use ahash::AHashMap;
use rayon::prelude::*;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, Tokenizer, TruncationParams};

use super::gguf::Gguf;
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
    /// GPT-2 splits texts, or with every digit alone besides, as `SmolLM` does. No text is cut off.
    pub fn read_gguf(path: &Path) -> Result<Self> {
        let file = Gguf::open(path)?;
        let kind = file.text("tokenizer.ggml.model")?;
        if kind != "gpt2" {
            return Err(file.failed(format!("the tokenizer is {kind:?}, expected \"gpt2\"")));
        }
        let bytes = || ByteLevel::new(false, true, true);
        let split = match file.text("tokenizer.ggml.pre")? {
            "gpt-2" | "default" => vec![bytes().into()],
            "smollm" => vec![Digits::new(true).into(), bytes().into()],
            other => {
                let problem = "the tokenizer splits texts like";
                let expected = "expected gpt-2 or smollm";
                return Err(file.failed(format!("{problem} {other:?}, {expected}")));
            }
        };
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let ids = (0..).zip(&tokens).map(|(id, token)| ((*token).to_owned(), id));
        let merge = |merge: &&str| {
            let pair = merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
            pair.ok_or_else(|| file.failed(format!("{merge:?} merges no two tokens")))
        };
        let merges = file.texts("tokenizer.ggml.merges")?;
        let merges = merges.iter().map(merge).collect::<Result<Vec<_>>>()?;
        let ids: AHashMap<String, u32> = ids.collect();
        let model = BPE::builder().vocab_and_merges(ids, merges).build();
        let model = model.map_err(|error| file.failed(format!("tokens do not fit: {error}")))?;
        let mut inner = Tokenizer::new(model);
        let split: Vec<PreTokenizerWrapper> = split;
        inner.with_pre_tokenizer(Some(Sequence::new(split))).with_decoder(Some(bytes()));
        // What the file calls control tokens.
        let kinds = file.integers("tokenizer.ggml.token_type")?;
        let special = tokens.iter().zip(kinds).filter(|(_, kind)| *kind == 3);
        let special = special.map(|(token, _)| AddedToken::from((*token).to_owned(), true));
        inner
            .add_special_tokens(special)
            .map_err(|error| file.failed(format!("special tokens do not fit: {error}")))?;
        Ok(Self { inner })
    }

    pub(super) fn of(inner: Tokenizer) -> Self {
        Self { inner }
    }

    pub(super) fn inner(&self) -> &Tokenizer {
        &self.inner
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
