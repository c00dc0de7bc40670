//! Language models that go on with a text.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tastemaker_core::artifact;

use super::gguf::Gguf;
use super::json;
use crate::checkpoint::{self, Checkpoint};
use crate::fused::{
    Matrix, Norm, Norms, Past, PreNormBlock, PreNormShape, PreNormWeights, Precision, Quantised,
    Rotation, Vocabulary, pre_norm_blocks,
};
use crate::{Error, Result};

/// A pre-trained causal language model from the family of `LLaMA` (`SmolLM`, `TinyLlama`, `Qwen2` and
/// others of that architecture), from a GGUF file or from a folder as `transformers` leaves it
/// (`config.json`, `model.safetensors`).
///
/// The numbers of a GGUF file are read as f32, whatever they are kept in.
///
/// # References
/// Touvron et al. 2023, *`LLaMA`*; Yang et al. 2024, *`Qwen2`*; Ben Allal et al. 2025, *`SmolLM2`*.
#[derive(Debug)]
pub struct CausalModel {
    shape: PreNormShape,
    longest: usize,
    n_tokens: usize,
    embedding: Embedding,
    blocks: Vec<PreNormBlock>,
    /// Scale and, zeros, shift.
    norm: (Vec<f32>, Vec<f32>),
    head: Vocabulary,
    rotation: Rotation,
    /// Vectors that stand before everything that is read: [any, width].
    prompt: Vec<f32>,
    hash: String,
}

/// What a model is made of, beside its blocks.
pub(super) struct Parts {
    pub(super) shape: PreNormShape,
    pub(super) longest: usize,
    /// Of the turns of places.
    pub(super) base: f64,
    /// [tokens, width].
    pub(super) table: Matrix,
    /// The same where it is not the table.
    pub(super) head: Option<Matrix>,
    pub(super) norm: Vec<f32>,
    /// Vectors that stand before everything that is read.
    pub(super) prompt: Vec<f32>,
    pub(super) hash: String,
}

/// The table of tokens [tokens, width], in codes if it came in such.
#[derive(Debug)]
enum Embedding {
    Plain(Vec<f32>),
    Quantised(Quantised),
}

impl Embedding {
    fn new(table: Matrix) -> Self {
        let Matrix { values, quantised } = table;
        quantised.into_iter().next().map_or(Self::Plain(values), Self::Quantised)
    }

    /// Adds the numbers of a token's row to `to`.
    fn read(&self, token: usize, width: usize, to: &mut Vec<f32>) {
        match self {
            Self::Plain(values) => to.extend_from_slice(&values[token * width..][..width]),
            Self::Quantised(table) => table.read_row(token, to),
        }
    }
}

/// What fixes the shape of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    pub(super) shape: PreNormShape,
    pub(super) layers: usize,
    pub(super) n_tokens: usize,
    pub(super) longest: usize,
    base: f64,
}

impl Config {
    /// The base of the turns of places, if it is a whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is looked at")]
    pub(super) fn rotary_base(&self) -> Option<u32> {
        let base = self.base as u32;
        ((f64::from(base) - self.base).abs() < f64::EPSILON).then_some(base)
    }
}

/// A model's file or folder, before its weights are read.
pub(super) struct Opened {
    config: Config,
    weights: Box<dyn Weights>,
    /// The weights' file.
    path: PathBuf,
}

impl Opened {
    pub(super) fn at(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let config = folder_config(path)?;
            let path = path.join("model.safetensors");
            let file = Checkpoint::foreign(&path, &checkpoint::read(&path)?)?;
            let weights = Box::new(Folder { path: path.clone(), file });
            Ok(Self { config, weights, path })
        } else {
            let file = Gguf::open(path)?;
            let config = config_of(&file)?;
            Ok(Self { config, weights: Box::new(file), path: path.to_owned() })
        }
    }

    /// SHA-256 of the weights' file.
    pub(super) fn hash(&self) -> Result<String> {
        Ok(artifact::sha256_file(&self.path)?)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn weights(&mut self) -> &mut dyn Weights {
        &mut *self.weights
    }
}

fn folder_config(path: &Path) -> Result<Config> {
    let path = path.join("config.json");
    json::<FolderConfig>(&path)?.resolve(&path)
}

/// The most tokens that a model is made ready for; what it could read more would cost memory.
const MOST: usize = 8192;

impl CausalModel {
    /// Reads the GGUF file or the folder at `path`; factors of its products are rounded to
    /// `precision`, but for products of few rows with weights that the file keeps in few bits, which
    /// round nothing.
    pub fn read(path: &Path, precision: Precision) -> Result<Self> {
        let mut opened = Opened::at(path)?;
        let Config { shape, layers, n_tokens, longest, base } = *opened.config();
        let hash = format!("{}-{precision:?}", opened.hash()?);
        let from = opened.weights();
        let own = "output.weight";
        let head = from.has(own).then(|| from.of(own, &[n_tokens, shape.width])).transpose()?;
        let parts = Parts {
            shape,
            longest,
            base,
            table: from.of("token_embd.weight", &[n_tokens, shape.width])?,
            head,
            norm: from.row("output_norm.weight", shape.width)?,
            prompt: Vec::new(),
            hash,
        };
        Self::from_parts(parts, (0..layers).map(|layer| from.block(shape, layer)), precision)
    }

    pub(super) fn from_parts(
        parts: Parts,
        blocks: impl Iterator<Item = Result<PreNormWeights>>,
        precision: Precision,
    ) -> Result<Self> {
        let Parts { shape, longest, base, table, head, norm, prompt, hash } = parts;
        let n_tokens = table.values.len() / shape.width;
        let block = |weights: Result<_>| Ok(PreNormBlock::new(shape, weights?, precision));
        Ok(Self {
            head: Vocabulary::new(head.unwrap_or_else(|| table.clone()), n_tokens, precision),
            embedding: Embedding::new(table),
            blocks: blocks.map(block).collect::<Result<_>>()?,
            norm: (norm, vec![0.0; shape.width]),
            rotation: Rotation::new(shape.size, longest, base),
            shape,
            longest,
            n_tokens,
            prompt,
            hash,
        })
    }

    /// The most tokens that the model at `path` reads, without reading its weights.
    pub fn longest_at(path: &Path) -> Result<usize> {
        let config =
            if path.is_dir() { folder_config(path)? } else { config_of(&Gguf::open(path)?)? };
        Ok(config.longest)
    }

    /// How many tokens it knows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The most tokens that it reads, those that it writes among them.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Tells its answers from those of every other model.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The states from which the next token follows, of sequences that all go on from `past`:
    /// [tokens, width]. If `keep`, there must be one sequence, which becomes part of `past`.
    pub fn states(&self, sequences: &[&[u32]], past: &mut Past, keep: bool) -> Result<Vec<f32>> {
        let lengths: Vec<usize> = sequences.iter().map(|tokens| tokens.len()).collect();
        let width = self.shape.width;
        let before = if past.is_empty() { self.prompt.len() / width } else { past.len() };
        let longest = before + lengths.iter().copied().max().unwrap_or_default();
        if longest > self.longest {
            let expected = format!("{} at most, which the model reads", self.longest);
            return Err(Error::setting("the number of tokens", longest, expected));
        }
        if past.is_empty() && !self.prompt.is_empty() {
            let mut prompt = self.prompt.clone();
            let n = prompt.len() / width;
            pre_norm_blocks(&self.blocks, &[n], (past, true), &self.rotation, &mut prompt);
        }
        let mut x = Vec::with_capacity(lengths.iter().sum::<usize>() * width);
        for &token in sequences.iter().copied().flatten() {
            if token as usize >= self.n_tokens {
                let expected = format!("one below {}, which the model knows", self.n_tokens);
                return Err(Error::setting("a token", token, expected));
            }
            self.embedding.read(token as usize, width, &mut x);
        }
        pre_norm_blocks(&self.blocks, &lengths, (past, keep), &self.rotation, &mut x);
        let mut states = vec![0.0; x.len()];
        let (weight, bias) = (&self.norm.0[..], &self.norm.1[..]);
        Norms { norm: Norm::Rms, epsilon: self.shape.epsilon, weight, bias }.run(&x, &mut states);
        Ok(states)
    }

    /// The logits of every token after `states`: [states, tokens].
    pub fn logits(&self, states: &[f32]) -> Vec<f32> {
        self.head.logits(states)
    }

    /// The logarithm of the probability of each token of each of `continuations` after `prompt`, by
    /// softmax over all tokens. The prompt is read once for all of them.
    pub fn log_probabilities(
        &self,
        prompt: &[u32],
        continuations: &[&[u32]],
    ) -> Result<Vec<Vec<f32>>> {
        let Some((&last, before)) = prompt.split_last() else {
            return Err(Error::setting("the prompt", "empty", "one token at least"));
        };
        let mut past = Past::default();
        if !before.is_empty() {
            self.states(&[before], &mut past, true)?;
        }
        // What follows the last token of a continuation is not asked for.
        let read = |tokens: &&[u32]| {
            let before = tokens.split_last().map_or(&[][..], |(_, before)| before);
            [&[last], before].concat()
        };
        let sequences: Vec<Vec<u32>> =
            continuations.iter().filter(|tokens| !tokens.is_empty()).map(read).collect();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let states = self.states(&sequences, &mut past, false)?;
        let all = self.head.log_probabilities(&states, &continuations.concat());
        let mut rest = &all[..];
        let mut own = |n: usize| {
            let (first, others) = rest.split_at(n);
            rest = others;
            first.to_vec()
        };
        Ok(continuations.iter().map(|tokens| own(tokens.len())).collect())
    }

    /// The tokens with which the model goes on after `prompt`, the most likely one each time, until
    /// one of `stop` or `most` tokens; without the one that stops.
    pub fn generate(&self, prompt: &[u32], most: usize, stop: &[u32]) -> Result<Vec<u32>> {
        let (mut past, mut written) = (Past::default(), Vec::new());
        let mut states = self.states(&[prompt], &mut past, true)?;
        while written.len() < most {
            let last = states.len().checked_sub(self.shape.width).map_or(&[][..], |i| &states[i..]);
            let logits = self.logits(last);
            let Some(next) = most_likely(&logits).filter(|next| !stop.contains(next)) else {
                break;
            };
            written.push(next);
            if written.len() < most {
                states = self.states(&[&[next]], &mut past, true)?;
            }
        }
        Ok(written)
    }
}

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

/// Where weights come from, by the names that GGUF files have for them.
pub(super) trait Weights {
    fn has(&self, name: &str) -> bool;

    /// The numbers of a weight; rows of queries and keys so that a pair that turns together is
    /// half a head apart.
    fn of(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix>;

    /// The numbers of a weight that is a row.
    fn row(&mut self, name: &str, n: usize) -> Result<Vec<f32>> {
        Ok(self.of(name, &[n])?.values)
    }

    /// The weights of a block.
    fn block(&mut self, shape: PreNormShape, layer: usize) -> Result<PreNormWeights> {
        let PreNormShape { width, inner, .. } = shape;
        let mut of =
            |part: &str, dimensions: &[usize]| self.of(&format!("blk.{layer}.{part}"), dimensions);
        let (queries, keys) = (shape.queries(), shape.keys());
        let weight = Matrix::below([
            of("attn_q.weight", &[queries, width])?,
            of("attn_k.weight", &[keys, width])?,
            of("attn_v.weight", &[keys, width])?,
        ]);
        let into = [of("ffn_gate.weight", &[inner, width])?, of("ffn_up.weight", &[inner, width])?];
        let into = Matrix::below(into);
        let (out, out_of) =
            (of("attn_output.weight", &[width, queries])?, of("ffn_down.weight", &[width, inner])?);
        let mut norm = |part: &str| self.row(&format!("blk.{layer}.{part}.weight"), width);
        let (attention_norm, feed_forward_norm) = (norm("attn_norm")?, norm("ffn_norm")?);
        let mut bias = vec![0.0; queries + 2 * keys];
        let (of_queries, of_others) = bias.split_at_mut(queries);
        let (of_keys, of_values) = of_others.split_at_mut(keys);
        for (part, bias) in [("q", of_queries), ("k", of_keys), ("v", of_values)] {
            let name = format!("blk.{layer}.attn_{part}.bias");
            if self.has(&name) {
                bias.copy_from_slice(&self.row(&name, bias.len())?);
            }
        }
        let plain = |matrix: Matrix, outputs: usize| (matrix, vec![0.0; outputs]);
        Ok(PreNormWeights {
            qkv: (weight, bias),
            out: plain(out, width),
            attention_norm,
            into: plain(into, 2 * inner),
            out_of: plain(out_of, width),
            feed_forward_norm,
        })
    }
}

impl Weights for Gguf {
    fn has(&self, name: &str) -> bool {
        Gguf::has(self, name)
    }

    fn of(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix> {
        let matrix = self.tensor(name, dimensions)?;
        let heads = if name.contains("attn_q.") {
            "llama.attention.head_count"
        } else {
            "llama.attention.head_count_kv"
        };
        let turns = name.contains("attn_q.") || name.contains("attn_k.");
        if !turns || self.text("general.architecture")? != "llama" {
            return Ok(matrix);
        }
        // In files of this architecture the pairs are neighbours.
        let size = dimensions[0] / self.count(heads)?;
        let of_head = |first: usize| (0..2).flat_map(move |i| (first + i..first + size).step_by(2));
        let apart: Vec<usize> = (0..dimensions[0]).step_by(size).flat_map(of_head).collect();
        Ok(matrix.reordered(dimensions[0], &apart))
    }
}

/// What the metadata of a GGUF file says.
fn config_of(file: &Gguf) -> Result<Config> {
    let architecture = file.text("general.architecture")?;
    if !["llama", "qwen2"].contains(&architecture) {
        let problem = format!("general.architecture is {architecture:?}, expected llama or qwen2");
        return Err(file.failed(problem));
    }
    let key = |what: &str| format!("{architecture}.{what}");
    let count = |what: &str| file.count(&key(what));
    let (width, heads) = (count("embedding_length")?, count("attention.head_count")?);
    let key_heads = file.count_if_there(&key("attention.head_count_kv"))?.unwrap_or(heads);
    let size = file.count_if_there(&key("attention.key_length"))?;
    let shape = PreNormShape {
        width,
        heads,
        key_heads,
        size: size.unwrap_or(width / heads.max(1)),
        inner: count("feed_forward_length")?,
        epsilon: file.number(&key("attention.layer_norm_rms_epsilon"))?,
    };
    let base = file.number(&key("rope.freq_base")).unwrap_or(10_000.0);
    let scaled = file.text(&key("rope.scaling.type")).is_ok_and(|kind| kind != "none");
    if scaled || file.has("rope_freqs.weight") {
        return Err(file.failed("its places turn by scaled angles, which are not known here"));
    }
    Ok(Config {
        shape: checked(shape).map_err(|problem| file.failed(problem))?,
        layers: count("block_count")?,
        n_tokens: file.texts("tokenizer.ggml.tokens")?.len(),
        longest: count("context_length")?.min(MOST),
        base: f64::from(base),
    })
}

/// A shape whose parts fit each other.
fn checked(shape: PreNormShape) -> std::result::Result<PreNormShape, String> {
    let PreNormShape { heads, key_heads, size, .. } = shape;
    if key_heads == 0 || heads % key_heads != 0 || size == 0 || size % 2 != 0 {
        return Err(format!(
            "{heads} heads of {size} numbers cannot share {key_heads} heads of keys"
        ));
    }
    Ok(shape)
}

/// `config.json`, as far as it matters.
#[derive(Debug, Deserialize)]
struct FolderConfig {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default)]
    num_key_value_heads: Option<usize>,
    #[serde(default)]
    head_dim: Option<usize>,
    intermediate_size: usize,
    hidden_act: String,
    rms_norm_eps: f32,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<serde_json::Value>,
    #[serde(default)]
    rope_parameters: Option<RopeParameters>,
}

/// Where newer files say how places turn.
#[derive(Debug, Deserialize)]
struct RopeParameters {
    rope_theta: f64,
    #[serde(default)]
    rope_type: Option<String>,
}

impl FolderConfig {
    fn resolve(self, path: &Path) -> Result<Config> {
        let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
        let (kind, act) = (&self.model_type, &self.hidden_act);
        if !["llama", "qwen2"].contains(&kind.as_str()) {
            return Err(failed(format!("model_type is {kind:?}, expected \"llama\" or \"qwen2\"")));
        }
        if act != "silu" {
            return Err(failed(format!("hidden_act is {act:?}, expected \"silu\"")));
        }
        let rope = self.rope_parameters.as_ref();
        let scaled = rope.and_then(|rope| rope.rope_type.as_deref()).unwrap_or("default");
        if scaled != "default" || self.rope_scaling.is_some_and(|scaling| !scaling.is_null()) {
            return Err(failed(
                "rotations are scaled for long texts, which is not known here".into(),
            ));
        }
        let heads = self.num_attention_heads;
        let shape = PreNormShape {
            width: self.hidden_size,
            heads,
            key_heads: self.num_key_value_heads.unwrap_or(heads),
            size: self.head_dim.unwrap_or(self.hidden_size / heads.max(1)),
            inner: self.intermediate_size,
            epsilon: self.rms_norm_eps,
        };
        Ok(Config {
            shape: checked(shape).map_err(failed)?,
            layers: self.num_hidden_layers,
            n_tokens: self.vocab_size,
            longest: self.max_position_embeddings.min(MOST),
            base: rope.map(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(10_000.0),
        })
    }
}

/// The weights of a folder.
struct Folder {
    path: PathBuf,
    file: Checkpoint<()>,
}

/// What a part of a block is called in GGUF files and by `transformers`.
const PARTS: [(&str, &str); 9] = [
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_norm", "input_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_norm", "post_attention_layernorm"),
];

/// The name that `transformers` has for what GGUF files call `name`.
fn translated(name: &str) -> String {
    match name.split('.').collect::<Vec<_>>()[..] {
        ["token_embd", kind] => format!("model.embed_tokens.{kind}"),
        ["output_norm", kind] => format!("model.norm.{kind}"),
        ["output", kind] => format!("lm_head.{kind}"),
        ["blk", layer, part, kind] => {
            let part = PARTS.iter().find(|(known, _)| *known == part).map_or(part, |(_, own)| own);
            format!("model.layers.{layer}.{part}.{kind}")
        }
        _ => name.to_owned(),
    }
}

impl Weights for Folder {
    fn has(&self, name: &str) -> bool {
        self.file.tensors.contains_key(&translated(name))
    }

    fn of(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix> {
        let values = self.file.tensor(&self.path, &translated(name), dimensions)?.to_vec();
        Ok(Matrix { values, quantised: Vec::new() })
    }
}
