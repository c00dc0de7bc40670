//! Embeddings of texts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tastemaker_core::artifact;

use super::{TextTokenizer, embedded, json};
use crate::checkpoint::{self, Checkpoint};
use crate::fused::{
    Dropout, Embedding, Lanes, Norm, Norms, PostNormBlock, PostNormShape, PostNormWeights,
    Precision, post_norm_blocks,
};
use crate::{Error, Result};

/// A pre-trained encoder of texts from the family of BERT, from a folder as `sentence-transformers`
/// or `transformers` leave it: `config.json`, `model.safetensors`, `tokenizer.json` and, if they are
/// there, `modules.json` with what it names.
///
/// # What it does
/// Embeds tokens, places and the first kind of segment, runs the blocks, and takes the mean of all
/// tokens' states or the first one's, as the folder says; divided by its length, if it says so. A
/// folder without `modules.json` is a plain BERT: the mean, not divided.
///
/// # References
/// Devlin et al. 2019, *BERT*; Reimers and Gurevych 2019, *Sentence-BERT*; Wang et al. 2020, *`MiniLM`*.
#[derive(Debug)]
pub struct SentenceEncoder {
    tokenizer: TextTokenizer,
    width: usize,
    longest: usize,
    epsilon: f32,
    /// [tokens, width].
    tokens: Vec<f32>,
    /// Of places and of the first kind of segment, added: [longest, width].
    places: Vec<f32>,
    norm: (Vec<f32>, Vec<f32>),
    blocks: Vec<PostNormBlock>,
    pooling: Pooling,
    is_normalised: bool,
    hash: String,
}

/// `config.json`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    vocab_size: usize,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

/// A line of `modules.json`.
#[derive(Debug, Deserialize)]
struct Module {
    path: PathBuf,
    #[serde(rename = "type")]
    kind: String,
}

/// How the states of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    First,
}

/// `sentence_bert_config.json`, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

impl SentenceEncoder {
    /// Reads the model in `folder`; factors of its products are rounded to `precision`.
    pub fn read(folder: &Path, precision: Precision) -> Result<Self> {
        let config: Config = json(&folder.join("config.json"))?;
        config.check(&folder.join("config.json"))?;
        let (pooling, is_normalised) = modules(folder)?;
        let path = folder.join("sentence_bert_config.json");
        let own = if path.exists() { json(&path)? } else { SentenceConfig::default() };
        let most = config.max_position_embeddings;
        let longest = own.max_seq_length.unwrap_or(most).min(most);
        let path = folder.join("model.safetensors");
        let bytes = checkpoint::read(&path)?;
        let file = Weights::of_file(&path, &bytes)?;
        let (width, norm) = (config.hidden_size, "embeddings.LayerNorm");
        let tokens = file.of("embeddings.word_embeddings.weight", &[config.vocab_size, width])?;
        let mut places = file.of("embeddings.position_embeddings.weight", &[most, width])?.to_vec();
        let segments = [config.type_vocab_size, width];
        let segments = file.of("embeddings.token_type_embeddings.weight", &segments)?;
        for place in places.chunks_exact_mut(width) {
            place.iter_mut().zip(segments).for_each(|(place, segment)| *place += segment);
        }
        let shape = config.block_shape();
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| Ok(PostNormBlock::new(shape, block(&file, shape, layer)?, precision)));
        let tokenizer = folder.join("tokenizer.json");
        let encoder = Self {
            tokenizer: TextTokenizer::read(&tokenizer, longest)?,
            width,
            longest,
            epsilon: config.layer_norm_eps,
            tokens: tokens.to_vec(),
            places,
            norm: (file.vector(norm, "weight", width)?, file.vector(norm, "bias", width)?),
            blocks: blocks.collect::<Result<_>>()?,
            pooling,
            is_normalised,
            hash: [
                artifact::sha256(&bytes),
                artifact::sha256_file(&tokenizer)?,
                format!("{longest}-{precision:?}"),
            ]
            .join("-"),
        };
        if encoder.tokenizer.n_tokens() > config.vocab_size {
            let (found, of) = (encoder.tokenizer.n_tokens(), config.vocab_size);
            let problem = format!("this has {found} tokens, but the model knows {of}");
            return Err(Error::Checkpoint { path: tokenizer, problem });
        }
        Ok(encoder)
    }

    /// Width of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What makes tokens of texts.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The most tokens that it reads of a text, special ones among them.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Tells its embeddings from those of every other model.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The embeddings of `texts`: [texts, width].
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<f32>> {
        let tokens = self.tokenizer.encode(texts)?;
        embedded(&tokens, self.width, |tokens| self.encode_tokens(tokens))
    }

    fn encode_tokens(&self, tokens: &[&[u32]]) -> Result<Vec<f32>> {
        let lanes = Lanes::new(tokens.iter().map(|tokens| tokens.len()).collect());
        let packed: Arc<[u32]> = tokens.concat().into();
        let embedding = Embedding::new(packed, &lanes, Dropout::none());
        let raw = embedding.run(&self.tokens, &self.places, self.width)?;
        let mut x = vec![0.0; raw.len()];
        let (weight, bias) = (&self.norm.0[..], &self.norm.1[..]);
        Norms { norm: Norm::Layer, epsilon: self.epsilon, weight, bias }.run(&raw, &mut x);
        post_norm_blocks(&self.blocks, &lanes, &mut x);
        Ok(self.pooled(&lanes, &x))
    }

    /// One embedding a sequence: [sequences, width].
    fn pooled(&self, lanes: &Lanes, x: &[f32]) -> Vec<f32> {
        let (mut all, mut start) = (Vec::with_capacity(lanes.lengths().len() * self.width), 0);
        for &length in lanes.lengths() {
            let states = &x[start * self.width..][..length * self.width];
            let mut pooled = states[..self.width].to_vec();
            if self.pooling == Pooling::Mean {
                for state in states.chunks_exact(self.width).skip(1) {
                    pooled.iter_mut().zip(state).for_each(|(sum, value)| *sum += value);
                }
                for sum in &mut pooled {
                    *sum /= length as f32;
                }
            }
            if self.is_normalised {
                let norm = pooled.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
                for value in &mut pooled {
                    *value /= norm;
                }
            }
            all.extend(pooled);
            start += length;
        }
        all
    }
}

impl Config {
    fn block_shape(&self) -> PostNormShape {
        PostNormShape {
            width: self.hidden_size,
            heads: self.num_attention_heads,
            inner: self.intermediate_size,
            epsilon: self.layer_norm_eps,
        }
    }

    /// Whether the architecture is one that is known.
    fn check(&self, path: &Path) -> Result<()> {
        let absolute = "absolute".to_owned();
        let positions = self.position_embedding_type.as_ref().unwrap_or(&absolute);
        for (name, found, expected) in [
            ("model_type", &self.model_type, "bert"),
            ("hidden_act", &self.hidden_act, "gelu"),
            ("position_embedding_type", positions, "absolute"),
        ] {
            if found != expected {
                let problem = format!("{name} is {found:?}, expected {expected:?}");
                return Err(Error::Checkpoint { path: path.to_owned(), problem });
            }
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) || self.type_vocab_size == 0 {
            let problem = format!("hidden_size {width} cannot be divided among {heads} heads");
            return Err(Error::Checkpoint { path: path.to_owned(), problem });
        }
        Ok(())
    }
}

/// How the folder says that states become an embedding, and whether that is divided by its length.
fn modules(folder: &Path) -> Result<(Pooling, bool)> {
    let path = folder.join("modules.json");
    if !path.exists() {
        return Ok((Pooling::Mean, false));
    }
    let (mut pooling, mut is_normalised) = (None, false);
    for module in json::<Vec<Module>>(&path)? {
        match module.kind.rsplit('.').next() {
            Some("Transformer") if module.path.as_os_str().is_empty() => {}
            Some("Pooling") => pooling = Some(pooling_of(&folder.join(module.path))?),
            Some("Normalize") => is_normalised = true,
            _ => {
                let known = "Transformer (in the folder itself), Pooling and Normalize are known";
                let problem = format!("module {:?} cannot be run; {known}", module.kind);
                return Err(Error::Checkpoint { path, problem });
            }
        }
    }
    Ok((pooling.unwrap_or(Pooling::Mean), is_normalised))
}

fn pooling_of(folder: &Path) -> Result<Pooling> {
    let path = folder.join("config.json");
    let config: serde_json::Map<String, serde_json::Value> = json(&path)?;
    let is_on = |(name, value): (&String, &serde_json::Value)| {
        (value.as_bool() == Some(true))
            .then(|| name.strip_prefix("pooling_mode_"))
            .flatten()
            .map(str::to_owned)
    };
    let on: Vec<String> = config.iter().filter_map(is_on).collect();
    match on.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean_tokens"] => Ok(Pooling::Mean),
        ["cls_token"] => Ok(Pooling::First),
        _ => {
            let found = on.join(", ");
            let problem =
                format!("pooling is by {found:?}, expected mean_tokens or cls_token alone");
            Err(Error::Checkpoint { path, problem })
        }
    }
}

/// The tensors of a model file.
struct Weights<'a> {
    path: &'a Path,
    file: Checkpoint<()>,
    /// What stands before every name, where a model has heads beside the encoder.
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    fn of_file(path: &'a Path, bytes: &[u8]) -> Result<Self> {
        let file = Checkpoint::foreign(path, bytes)?;
        let has = file.tensors.keys().any(|name| name.starts_with("bert."));
        Ok(Self { path, file, prefix: if has { "bert." } else { "" } })
    }

    fn of(&self, name: &str, dimensions: &[usize]) -> Result<&[f32]> {
        self.file.tensor(self.path, &format!("{}{name}", self.prefix), dimensions)
    }

    fn vector(&self, name: &str, kind: &str, n: usize) -> Result<Vec<f32>> {
        Ok(self.of(&format!("{name}.{kind}"), &[n])?.to_vec())
    }

    /// A linear layer [outputs, inputs] and its bias.
    fn linear(&self, name: &str, dimensions: [usize; 2]) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = self.of(&format!("{name}.weight"), &dimensions)?.to_vec();
        Ok((weight, self.vector(name, "bias", dimensions[0])?))
    }
}

/// The weights of a block.
fn block(file: &Weights<'_>, shape: PostNormShape, layer: usize) -> Result<PostNormWeights> {
    let PostNormShape { width, inner, .. } = shape;
    let name = |part: &str| format!("encoder.layer.{layer}.{part}");
    let linear = |part: &str, outputs, inputs| file.linear(&name(part), [outputs, inputs]);
    let norm = |part: &str| -> Result<_> {
        let part = name(part);
        Ok((file.vector(&part, "weight", width)?, file.vector(&part, "bias", width)?))
    };
    let mut qkv = (Vec::new(), Vec::new());
    for part in ["query", "key", "value"] {
        let (weight, bias) = linear(&format!("attention.self.{part}"), width, width)?;
        qkv.0.extend(weight);
        qkv.1.extend(bias);
    }
    Ok(PostNormWeights {
        qkv,
        out: linear("attention.output.dense", width, width)?,
        attention_norm: norm("attention.output.LayerNorm")?,
        into: linear("intermediate.dense", inner, width)?,
        out_of: linear("output.dense", width, inner)?,
        feed_forward_norm: norm("output.LayerNorm")?,
    })
}
