//! Tokenizers inside GGUF files.

use ahash::AHashMap;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{NFC, NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::gguf::Gguf;
use crate::{Error, Result};

/// What `SentencePiece` writes for a space.
const SPACE: &str = "▁";

/// Kinds of tokens, as files number them.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// How `LLaMA` 3 splits texts: contractions, words with what stands before them, up to three digits,
/// marks, ends of lines, spaces. `Qwen2` does alike, with every digit alone.
const SPLITS_LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const SPLITS_QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// What splits texts as files of this name do.
fn splits(file: &Gguf) -> Result<Vec<PreTokenizerWrapper>> {
    let bytes = |splits| ByteLevel::new(false, true, splits);
    let by = |pattern: &str| -> Result<Vec<PreTokenizerWrapper>> {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        Ok(vec![split.map_err(unfit(file))?.into(), bytes(false).into()])
    };
    match file.text("tokenizer.ggml.pre")? {
        "gpt-2" | "default" => Ok(vec![bytes(true).into()]),
        "smollm" => Ok(vec![Digits::new(true).into(), bytes(true).into()]),
        "llama-bpe" => by(SPLITS_LLAMA3),
        "qwen2" => by(SPLITS_QWEN2),
        other => {
            let problem = "the tokenizer splits texts like";
            let expected = "expected gpt-2, smollm, llama-bpe or qwen2";
            Err(file.failed(format!("{problem} {other:?}, {expected}")))
        }
    }
}

/// Byte-level BPE.
pub(super) fn byte_pairs(file: &Gguf) -> Result<Tokenizer> {
    let tokens = file.texts("tokenizer.ggml.tokens")?;
    let merge = |merge: &&str| {
        let pair = merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        pair.ok_or_else(|| file.failed(format!("{merge:?} merges no two tokens")))
    };
    let merges = file.texts("tokenizer.ggml.merges")?;
    let merges = merges.iter().map(merge).collect::<Result<Vec<_>>>()?;
    // Words that are tokens of LLaMA 3 are not made from pairs.
    let whole = file.text("tokenizer.ggml.pre")? == "llama-bpe";
    let model = BPE::builder().vocab_and_merges(numbered(&tokens), merges).ignore_merges(whole);
    let mut inner = Tokenizer::new(model.build().map_err(unfit(file))?);
    inner.with_pre_tokenizer(Some(Sequence::new(splits(file)?)));
    inner.with_decoder(Some(ByteLevel::new(false, true, true)));
    if file.text("tokenizer.ggml.pre")? == "qwen2" {
        inner.with_normalizer(Some(NFC)).map_err(unfit(file))?;
    }
    add(&mut inner, file, &tokens)?;
    begin(&mut inner, file, &tokens, whole)?;
    Ok(inner)
}

/// `SentencePiece`'s pieces: of two neighbours that are a piece together those of the best score become
/// it; what is no piece is written in bytes.
pub(super) fn pieces(file: &Gguf) -> Result<Tokenizer> {
    let tokens = file.texts("tokenizer.ggml.tokens")?;
    let kinds = file.integers("tokenizer.ggml.token_type")?;
    let unknown = kinds.iter().position(|kind| *kind == UNKNOWN).and_then(|at| tokens.get(at));
    let mut model = BPE::builder()
        .vocab_and_merges(
            numbered(&tokens),
            merges(&tokens, &file.numbers("tokenizer.ggml.scores")?),
        )
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = unknown {
        model = model.unk_token((*unknown).to_owned());
    }
    let mut inner = Tokenizer::new(model.build().map_err(unfit(file))?);
    let space = |from: &str, to: &str| Replace::new(from, to).map_err(unfit(file));
    let prefix = file.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    let mut normalisers: Vec<NormalizerWrapper> = vec![space(" ", SPACE)?.into()];
    let mut decoders: Vec<DecoderWrapper> =
        vec![space(SPACE, " ")?.into(), ByteFallback::default().into(), Fuse::default().into()];
    if prefix {
        normalisers.insert(0, Prepend::new(SPACE.to_owned()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    inner.with_normalizer(Some(Normalizers::new(normalisers))).map_err(unfit(file))?;
    inner.with_decoder(Some(Decoders::new(decoders)));
    add(&mut inner, file, &tokens)?;
    begin(&mut inner, file, &tokens, true)?;
    Ok(inner)
}

/// Puts the token before texts that the file says; `usual` is whether it does where nothing is said.
fn begin(inner: &mut Tokenizer, file: &Gguf, tokens: &[&str], usual: bool) -> Result<()> {
    if !file.flag("tokenizer.ggml.add_bos_token").unwrap_or(usual) {
        return Ok(());
    }
    let id = file.count("tokenizer.ggml.bos_token_id")?;
    let first = tokens.get(id).ok_or_else(|| file.failed("there is no token before texts"))?;
    let number = u32::try_from(id).expect("tokens are numbered in 32 bits");
    let template =
        TemplateProcessing::builder().try_single(format!("{first}:0 $A:0")).and_then(|template| {
            let tokens = vec![((*first).to_owned(), number)];
            template.special_tokens(tokens).build().map_err(|error| error.to_string())
        });
    inner.with_post_processor(Some(template.map_err(|error| file.failed(error))?));
    Ok(())
}

/// The pairs of pieces that are a piece together, the best first.
///
/// As the converters of `transformers` order them: by the score of what they become, then by the
/// lengths of both, the longer first.
fn merges(tokens: &[&str], scores: &[f32]) -> Vec<(String, String)> {
    let numbers: AHashMap<&str, usize> = tokens.iter().copied().zip(0..).collect();
    let mut all: Vec<(f32, [usize; 2], [&str; 2])> = Vec::new();
    for (token, &score) in tokens.iter().zip(scores) {
        let mut own: Vec<([usize; 2], [&str; 2])> = token
            .char_indices()
            .skip(1)
            .map(|(at, _)| token.split_at(at))
            .filter_map(|(a, b)| Some(([*numbers.get(a)?, *numbers.get(b)?], [a, b])))
            .collect();
        own.sort_unstable();
        let length = |text: &str| text.chars().count();
        all.extend(own.into_iter().map(|(_, [a, b])| (score, [length(a), length(b)], [a, b])));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(&a.1)));
    all.into_iter().map(|(.., [a, b])| (a.to_owned(), b.to_owned())).collect()
}

fn numbered(tokens: &[&str]) -> AHashMap<String, u32> {
    (0..).zip(tokens).map(|(id, token)| ((*token).to_owned(), id)).collect()
}

fn unfit<E: std::fmt::Display>(file: &Gguf) -> impl Fn(E) -> Error + use<'_, E> {
    move |error| file.failed(format!("its tokens do not fit: {error}"))
}

/// Makes tokens of control, which are special, and then those that users define stand for themselves.
fn add(inner: &mut Tokenizer, file: &Gguf, tokens: &[&str]) -> Result<()> {
    let kinds = file.integers("tokenizer.ggml.token_type")?;
    for (kind, special) in [(CONTROL, true), (USER_DEFINED, false)] {
        let own = tokens.iter().zip(&kinds).filter(|(_, own)| **own == kind);
        let own = own
            .map(|(token, _)| AddedToken::from((*token).to_owned(), special).normalized(!special));
        let added = if special { inner.add_special_tokens(own) } else { inner.add_tokens(own) };
        added.map_err(unfit(file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    };

    use super::*;

    #[test]
    fn texts_are_split_as_by_llama_3_and_qwen_2() {
        let of = |pattern: &str, text: &str| -> Vec<String> {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap();
            let mut text = PreTokenizedString::from(text);
            split.pre_tokenize(&mut text).unwrap();
            let parts = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
            parts.into_iter().map(|(part, ..)| part.to_owned()).collect()
        };
        let text = "I'LL pay $12345,  twice!\n\n (née)";
        let expected =
            ["I", "'LL", " pay", " $", "123", "45", ",", " ", " twice", "!\n\n", " (", "née", ")"];
        assert_eq!(of(SPLITS_LLAMA3, text), expected);
        assert_eq!(of(SPLITS_QWEN2, "x123"), ["x", "1", "2", "3"]);
    }

    #[test]
    fn pieces_are_merged_by_their_scores() {
        let tokens = ["a", "b", "c", "ab", "bc", "abc"];
        let merges = merges(&tokens, &[0.0, 0.0, 0.0, -2.0, -1.0, -3.0]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = [pair("b", "c"), pair("a", "b"), pair("ab", "c"), pair("a", "bc")];
        assert_eq!(merges, expected);
    }
}
