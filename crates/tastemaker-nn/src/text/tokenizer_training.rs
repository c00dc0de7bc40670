//! Tokenizers that learn from texts.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tastemaker_core::artifact;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer, Trainer,
};

use super::TextTokenizer;
use crate::{Error, Result};

/// How a tokenizer that learns divides words.
///
/// # References
/// Byte pairs: Sennrich et al. 2016, over bytes as GPT-2 (Radford et al. 2019); word pieces:
/// Schuster and Nakajima 2012, as BERT (Devlin et al. 2019) reads them, in lower case. Both learn by
/// the `tokenizers` library, whose word pieces are learnt as byte pairs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Division {
    /// Pairs of tokens that stand beside each other most often become one, at first bytes; every
    /// text can be read.
    Bpe,
    /// The same of letters, with a mark on pieces inside a word; letters that were never met become
    /// one token for all.
    WordPiece,
}

/// What `WordPiece` marks pieces inside a word with.
const INSIDE: &str = "##";

/// The token of what `WordPiece` cannot read.
const UNKNOWN: &str = "[UNK]";

impl TextTokenizer {
    /// A tokenizer of at most `n_tokens` tokens that has learnt from `texts`, and follows from them
    /// alone.
    ///
    /// # Errors
    /// If so few tokens cannot be.
    pub fn train<T: AsRef<str> + Sync>(
        division: Division,
        n_tokens: usize,
        texts: &[T],
    ) -> Result<Self> {
        let trained = match division {
            Division::Bpe => byte_pairs(n_tokens, texts),
            Division::WordPiece => word_pieces(n_tokens, texts),
        };
        let failed = |error| Error::setting("the texts", error, "ones that can be learnt from");
        let inner = trained.map_err(failed)?;
        let found = inner.get_vocab_size(false);
        if found > n_tokens {
            let expected = format!("at least {found}, which single letters need");
            return Err(Error::setting("the tokens", n_tokens, expected));
        }
        Ok(Self::of(inner))
    }

    /// The same with more tokens, each of which stands for itself; `special` ones are never written
    /// out.
    pub fn with_tokens(self, texts: &[String], special: bool) -> Result<Self> {
        let mut inner = self.inner().clone();
        let token = |text: &String| AddedToken::from(text.clone(), special).normalized(false);
        let tokens = texts.iter().map(token);
        let added =
            if special { inner.add_special_tokens(tokens) } else { inner.add_tokens(tokens) };
        added.map_err(|error| Error::setting("tokens", error, "ones that can be added"))?;
        Ok(Self::of(inner))
    }

    /// Writes the `tokenizer.json`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = self.inner().to_string(true);
        let text = text.map_err(|error| Error::Checkpoint {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(artifact::write_atomically(path, |out| out.write_all(text.as_bytes()))?)
    }
}

/// The words that a text is divided into before tokens are.
fn words(
    normaliser: Option<&impl Normalizer>,
    divides: &impl PreTokenizer,
    text: &str,
) -> tokenizers::Result<Vec<String>> {
    let mut text = NormalizedString::from(text);
    if let Some(normaliser) = normaliser {
        normaliser.normalize(&mut text)?;
    }
    let mut text = PreTokenizedString::from(text);
    divides.pre_tokenize(&mut text)?;
    let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
}

fn byte_pairs<T: AsRef<str> + Sync>(n: usize, texts: &[T]) -> tokenizers::Result<Tokenizer> {
    let bytes = ByteLevel::new(false, true, true);
    let mut trainer = BpeTrainer::builder()
        .vocab_size(n)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let texts = texts.iter().map(AsRef::as_ref);
    trainer.feed(texts, |text| words(None::<&BertNormalizer>, &bytes, text))?;
    let mut model = BPE::default();
    trainer.train(&mut model)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    Ok(tokenizer)
}

fn word_pieces<T: AsRef<str> + Sync>(n: usize, texts: &[T]) -> tokenizers::Result<Tokenizer> {
    let normaliser = BertNormalizer::default();
    // Letters inside words, which would be numbered by the order of a hash table.
    let mut inside = BTreeSet::new();
    for text in texts {
        for word in words(Some(&normaliser), &BertPreTokenizer, text.as_ref())? {
            inside.extend(word.chars().skip(1));
        }
    }
    let first = std::iter::once(UNKNOWN.to_owned());
    let first = first.chain(inside.into_iter().map(|letter| format!("{INSIDE}{letter}")));
    let first = first.map(|token| AddedToken::from(token, true)).collect();
    let mut trainer = WordPieceTrainer::builder()
        .vocab_size(n)
        .show_progress(false)
        .special_tokens(first)
        .continuing_subword_prefix(INSIDE.to_owned())
        .build();
    let texts = texts.iter().map(AsRef::as_ref);
    trainer.feed(texts, |text| words(Some(&normaliser), &BertPreTokenizer, text))?;
    let mut model = WordPiece::default();
    trainer.train(&mut model)?;
    UNKNOWN.clone_into(&mut model.unk_token);
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(normaliser))?
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_decoder(Some(WordPieceDecoder::default()));
    Ok(tokenizer)
}
