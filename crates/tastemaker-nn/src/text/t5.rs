//! T5, which reads a text and then writes another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Deserialize;
use tastemaker_core::SeedTree;

use super::folder::WeightFiles;
use super::{json, model_type};
use crate::backbones::{AnyBackbone, EncoderDecoder};
use crate::checkpoint::Checkpoint;
use crate::fused::{BUCKETS, Epsilon, FAR, FeedForward, Norm, Positions, Precision, Vocabulary};
use crate::transformer::{Frozen, Input, Memory, Reading, TABLE, Transformer};
use crate::{Error, Result};

/// Prompts that are read together: each keeps keys and values of all its tokens.
const PROMPTS: usize = 16;

/// The most tokens that a model is made ready for where its folder says nothing.
const USUAL_LENGTH: usize = 512;

/// A pre-trained T5, of the first kind (`ReLU`, one table for what is read and written) or 1.1 and FLAN
/// (gated GELU, a head of its own), whose heads are together no wider than its states, from a folder as
/// `transformers` leaves it (`config.json`, and `model.safetensors` or the files that its index names).
///
/// # What it does
/// Its encoder reads the prompt; its decoder begins with a token of its own and writes.
///
/// # References
/// Raffel et al. 2020, *Exploring the limits of transfer learning with a unified text-to-text
/// transformer*; Chung et al. 2024, *Scaling instruction-finetuned language models* (FLAN-T5); names of
/// weights are those of `T5ForConditionalGeneration` of transformers.
#[derive(Debug)]
pub struct T5 {
    model: Frozen,
    head: Vocabulary,
    /// With which an answer begins, and with which it ends.
    begin: u32,
    end: u32,
    longest: usize,
    n_tokens: usize,
}

/// `config.json`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    #[serde(default)]
    num_decoder_layers: Option<usize>,
    num_heads: usize,
    relative_attention_num_buckets: usize,
    #[serde(default = "usual_distance")]
    relative_attention_max_distance: usize,
    layer_norm_epsilon: f32,
    #[serde(default = "usual_feed_forward")]
    feed_forward_proj: String,
    vocab_size: usize,
    #[serde(default)]
    n_positions: Option<usize>,
    #[serde(default)]
    decoder_start_token_id: u32,
    #[serde(default = "usual_end")]
    eos_token_id: u32,
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
    /// What newer files say instead, whose tables are always said to be tied.
    #[serde(default)]
    scale_decoder_outputs: Option<bool>,
}

fn usual_distance() -> usize {
    128
}

fn usual_feed_forward() -> String {
    "relu".to_owned()
}

fn usual_end() -> u32 {
    1
}

impl Config {
    fn of(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config: Self = json(&path)?;
        match config.problem() {
            Some(problem) => Err(Error::Checkpoint { path, problem }),
            None => Ok(config),
        }
    }

    fn problem(&self) -> Option<String> {
        let Self { model_type, d_model, d_kv, num_heads, feed_forward_proj, .. } = self;
        let distances = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        if model_type != "t5" {
            Some(format!("model_type is {model_type:?}, expected \"t5\""))
        } else if !["relu", "gated-gelu"].contains(&&feed_forward_proj[..]) {
            let expected = "expected \"relu\" or \"gated-gelu\"";
            Some(format!("feed_forward_proj is {feed_forward_proj:?}, {expected}"))
        } else if distances != (BUCKETS, FAR) {
            Some(format!("distances are in {distances:?}, expected ({BUCKETS}, {FAR})"))
        } else if *d_kv == 0
            || *num_heads == 0
            || d_model % d_kv != 0
            || d_model / d_kv < *num_heads
        {
            let found = format!("{num_heads} heads of {d_kv} numbers in states of {d_model}");
            Some(format!("{found}, expected heads that fill the states or leave whole heads"))
        } else {
            None
        }
    }

    /// Heads as a backbone has them, which fill its states; those beyond the model's own find nothing.
    fn heads(&self) -> usize {
        self.d_model / self.d_kv
    }

    fn gated(&self) -> bool {
        self.feed_forward_proj == "gated-gelu"
    }

    /// Whether what the decoder finds is divided by the root of its width before it is compared.
    fn scales(&self) -> bool {
        self.scale_decoder_outputs.or(self.tie_word_embeddings).unwrap_or(true)
    }

    fn decoder_layers(&self) -> usize {
        self.num_decoder_layers.unwrap_or(self.num_layers)
    }

    fn longest(&self) -> usize {
        self.n_positions.unwrap_or(USUAL_LENGTH)
    }

    fn backbone(&self) -> std::result::Result<AnyBackbone, String> {
        Ok(AnyBackbone::EncoderDecoder(EncoderDecoder {
            encoder_layers: Some(self.num_layers),
            decoder_layers: Some(self.decoder_layers()),
            heads: Some(self.heads()),
            embedding_size: Some(self.d_model),
            inner_size: Some(self.d_ff),
            max_length: Some(self.longest()),
            dropout: Some(0.0),
            norm: Norm::Rms,
            norm_epsilon: Some(Epsilon::try_from(self.layer_norm_epsilon)?),
            feed_forward: if self.gated() { FeedForward::GegluTanh } else { FeedForward::Relu },
            positions: Positions::Relative,
            ..EncoderDecoder::default()
        }))
    }
}

/// The weights of a folder.
struct Weights {
    config: Config,
    path: PathBuf,
    file: Checkpoint<()>,
}

impl Weights {
    fn of(&self, name: &str, dimensions: &[usize]) -> Result<Vec<f32>> {
        Ok(self.file.tensor(&self.path, name, dimensions)?.to_vec())
    }

    /// A matrix into the heads, with rows of zeros for those that the model does not have, times
    /// `factor`.
    fn to_heads(&self, name: &str, factor: f32) -> Result<Vec<f32>> {
        let Config { d_model, d_kv, num_heads, .. } = self.config;
        let mut rows = self.of(&format!("{name}.weight"), &[num_heads * d_kv, d_model])?;
        for value in &mut rows {
            *value *= factor;
        }
        rows.resize(d_model * d_model, 0.0);
        Ok(rows)
    }

    /// The matrix out of the heads, with columns of zeros likewise.
    fn out_of_heads(&self, name: &str) -> Result<Vec<f32>> {
        let Config { d_model, d_kv, num_heads, .. } = self.config;
        let own = num_heads * d_kv;
        let narrow = self.of(&format!("{name}.weight"), &[d_model, own])?;
        let mut wide = vec![0.0; d_model * d_model];
        for (wide, narrow) in wide.chunks_exact_mut(d_model).zip(narrow.chunks_exact(own)) {
            wide[..own].copy_from_slice(narrow);
        }
        Ok(wide)
    }

    /// What distances add to scores, [heads, buckets]: all blocks have those of the first.
    fn distances(&self, half: &str) -> Result<Vec<f32>> {
        let heads = self.config.num_heads;
        let name = format!("{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let by_bucket = self.of(&name, &[BUCKETS, heads])?;
        let mut by_head = vec![0.0; self.config.heads() * BUCKETS];
        for (i, value) in by_bucket.into_iter().enumerate() {
            by_head[i % heads * BUCKETS + i / heads] = value;
        }
        Ok(by_head)
    }

    /// The parameters of a block of a half, by the names of a [`Transformer`].
    fn block(&self, half: &str, layer: usize) -> Result<Vec<(&'static str, Vec<f32>)>> {
        let Config { d_model: d, d_kv, d_ff, .. } = self.config;
        let name = |part: &str| format!("{half}.block.{layer}.layer.{part}");
        // Scores there are not divided by the root of a head's size.
        let root = (d_kv as f32).sqrt();
        let heads = |part: &str, which: &[&str]| -> Result<Vec<f32>> {
            let factor = |which: &str| if which == "q" { root } else { 1.0 };
            let of = |which: &&str| self.to_heads(&name(&format!("{part}.{which}")), factor(which));
            Ok(which.iter().map(of).collect::<Result<Vec<_>>>()?.concat())
        };
        let norm = |i: usize| self.of(&name(&format!("{i}.layer_norm.weight")), &[d]);
        let mut all = vec![
            ("attention-norm.weight", norm(0)?),
            ("attention.qkv.weight", heads("0.SelfAttention", &["q", "k", "v"])?),
            ("attention.out.weight", self.out_of_heads(&name("0.SelfAttention.o"))?),
            ("attention.distance", self.distances(half)?),
        ];
        let last = if half == "decoder" {
            all.extend([
                ("cross-attention-norm.weight", norm(1)?),
                ("cross-attention.query.weight", heads("1.EncDecAttention", &["q"])?),
                ("cross-attention.kv.weight", heads("1.EncDecAttention", &["k", "v"])?),
                ("cross-attention.out.weight", self.out_of_heads(&name("1.EncDecAttention.o"))?),
            ]);
            2
        } else {
            1
        };
        let matrix = |which: &str, dimensions: [usize; 2]| {
            self.of(&name(&format!("{last}.DenseReluDense.{which}.weight")), &dimensions)
        };
        let into = if self.config.gated() {
            [matrix("wi_0", [d_ff, d])?, matrix("wi_1", [d_ff, d])?].concat()
        } else {
            matrix("wi", [d_ff, d])?
        };
        all.extend([
            ("feed-forward-norm.weight", norm(last)?),
            ("feed-forward.in.weight", into),
            ("feed-forward.out.weight", matrix("wo", [d, d_ff])?),
        ]);
        Ok(all)
    }

    /// All parameters by the names of a [`Transformer`]; biases, which it does not have, are left out.
    fn parameters(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let Config { d_model, vocab_size, num_layers, .. } = self.config;
        let mut last = self.of("decoder.final_layer_norm.weight", &[d_model])?;
        if self.config.scales() {
            let factor = 1.0 / (d_model as f32).sqrt();
            for value in &mut last {
                *value *= factor;
            }
        }
        let mut all = BTreeMap::from([
            (TABLE.to_owned(), self.of("shared.weight", &[vocab_size, d_model])?),
            (
                "encoder.norm.weight".to_owned(),
                self.of("encoder.final_layer_norm.weight", &[d_model])?,
            ),
            ("norm.weight".to_owned(), last),
        ]);
        for (half, prefix, layers) in
            [("encoder", "encoder.", num_layers), ("decoder", "", self.config.decoder_layers())]
        {
            for layer in 0..layers {
                let own = self.block(half, layer)?.into_iter();
                all.extend(own.map(|(name, v)| (format!("{prefix}block.{layer}.{name}"), v)));
            }
        }
        Ok(all)
    }
}

impl T5 {
    /// Whether the folder at `path` says that it holds one.
    pub fn is_at(path: &Path) -> bool {
        model_type(path).is_some_and(|kind| kind == "t5")
    }

    /// The most tokens that the model at `path` reads, without reading its weights.
    pub fn longest_at(path: &Path) -> Result<usize> {
        Ok(Config::of(path)?.longest())
    }

    /// Reads the folder at `path`; factors of its products are rounded to `precision`.
    ///
    /// # Errors
    /// If a file is missing or is not what a T5 has, or if the model's heads are wider than its states.
    pub fn read(path: &Path, precision: Precision) -> Result<Self> {
        let config = Config::of(path)?;
        let failed = |problem| Error::Checkpoint { path: path.join("config.json"), problem };
        let backbone = config.backbone().map_err(failed)?;
        let (longest, n_tokens) = (config.longest(), config.vocab_size);
        let (begin, end) = (config.decoder_start_token_id, config.eos_token_id);
        let files = WeightFiles::of(path)?;
        let weights = Weights { config, file: files.read()?, path: files.path };
        let model = Transformer::on(Device::Cpu, &backbone, n_tokens, &SeedTree::new(0))?;
        let parameters = weights.parameters()?;
        let largest = model.parameters().iter().map(|(_, variable)| variable.elem_count()).max();
        let zeros = vec![0.0; largest.unwrap_or_default()];
        model.parameters().set(|name, dimensions| match parameters.get(name) {
            Some(values) => Ok(values.as_slice()),
            None if name.rsplit_once('.').is_some_and(|(_, last)| last == "bias") => {
                Ok(&zeros[..dimensions.iter().product()])
            }
            None => Err(Error::setting("the parameter", name, "one that the model has")),
        })?;
        // Its own where there is one, whatever is said of it.
        let head = ["lm_head.weight", "shared.weight"];
        let head = head.into_iter().find(|name| weights.file.tensors.contains_key(*name));
        let head =
            weights.of(head.unwrap_or("shared.weight"), &[n_tokens, weights.config.d_model])?;
        let head = Vocabulary::new(head.into(), n_tokens, precision);
        Ok(Self { model: model.frozen(precision)?, head, begin, end, longest, n_tokens })
    }

    /// How many tokens it knows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// What writes, by what [`T5::memory`] has found.
    pub fn model(&self) -> &Frozen {
        &self.model
    }

    /// The token with which an answer begins.
    pub fn begin(&self) -> u32 {
        self.begin
    }

    /// The token with which an answer ends.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// What the encoder finds in prompts.
    ///
    /// # Errors
    /// If one is empty, is longer than what the model reads, or has a token that it does not know.
    pub fn memory(&self, prompts: &[Vec<u32>]) -> Result<Option<Memory>> {
        for prompt in prompts {
            if !(1..=self.longest).contains(&prompt.len()) {
                let expected = format!("from 1 to {}, which the model reads", self.longest);
                return Err(Error::setting("the number of tokens", prompt.len(), expected));
            }
        }
        self.model.memory(&Input::of(prompts))
    }

    /// The logits of every token after each of `states`: [states, tokens].
    pub fn logits(&self, states: &[f32]) -> Vec<f32> {
        self.head.logits(states)
    }

    /// The logarithm of the probability of each token of answers, by softmax over all tokens; each is
    /// the answer to the prompt of the given number. A prompt is read once.
    ///
    /// # Errors
    /// If a prompt is empty, is longer than what the model reads, or if there is a token that it does not
    /// know.
    ///
    /// # Panics
    /// If there is no prompt of such a number.
    pub fn log_probabilities(
        &self,
        prompts: &[Vec<u32>],
        answers: &[(usize, &[u32])],
    ) -> Result<Vec<Vec<f32>>> {
        if let Some(token) = answers.iter().flat_map(|(_, answer)| *answer).max()
            && *token as usize >= self.n_tokens
        {
            let expected = format!("one below {}, which the model knows", self.n_tokens);
            return Err(Error::setting("a token", token, expected));
        }
        let mut found = vec![vec![]; answers.len()];
        for first in (0..prompts.len()).step_by(PROMPTS) {
            let read = first..prompts.len().min(first + PROMPTS);
            let own = answers.iter().enumerate().filter(|(_, (prompt, _))| read.contains(prompt));
            let going = own.map(|(i, (prompt, _))| (i, prompt - first)).collect();
            self.add_log_probabilities(&prompts[read.clone()], answers, going, &mut found)?;
        }
        Ok(found)
    }

    /// [`T5::log_probabilities`] of the answers `going`, each with its prompt's number among `prompts`.
    fn add_log_probabilities(
        &self,
        prompts: &[Vec<u32>],
        answers: &[(usize, &[u32])],
        mut going: Vec<(usize, usize)>,
        found: &mut [Vec<f32>],
    ) -> Result<()> {
        let width = self.model.width();
        let begin = vec![vec![self.begin]; prompts.len()];
        let (mut reading, mut states) = Reading::new(&self.model, begin, self.memory(prompts)?)?;
        for at in 0.. {
            going.retain(|&(i, _)| answers[i].1.len() > at);
            if going.is_empty() {
                break;
            }
            let of = |&(_, from): &(usize, usize)| &states[from * width..(from + 1) * width];
            let from: Vec<f32> = going.iter().flat_map(of).copied().collect();
            let targets: Vec<u32> = going.iter().map(|&(i, _)| answers[i].1[at]).collect();
            let all = self.head.log_probabilities(&from, &targets);
            for (&(i, _), value) in going.iter().zip(all) {
                found[i].push(value);
            }
            going.retain(|&(i, _)| answers[i].1.len() > at + 1);
            let steps: Vec<(usize, u32)> =
                going.iter().map(|&(i, from)| (from, answers[i].1[at])).collect();
            states = reading.go_on(&steps)?;
            going.iter_mut().enumerate().for_each(|(next, (_, from))| *from = next);
        }
        Ok(())
    }

    /// The tokens that the model writes when it has read `prompt`, the most likely one each time, until
    /// what ends an answer, one of `stop` or `most` tokens; without the one that stops.
    ///
    /// # Errors
    /// If the prompt is empty, is longer than what the model reads, or has a token that it does not know.
    pub fn generate(&self, prompt: &[u32], most: usize, stop: &[u32]) -> Result<Vec<u32>> {
        let memory = self.memory(&[prompt.to_vec()])?;
        let (mut reading, mut states) = Reading::new(&self.model, vec![vec![self.begin]], memory)?;
        let mut written = Vec::new();
        while written.len() < most {
            let next = super::most_likely(&self.logits(&states));
            let Some(next) = next.filter(|next| *next != self.end && !stop.contains(next)) else {
                break;
            };
            written.push(next);
            if written.len() < most {
                states = reading.go_on(&[(0, next)])?;
            }
        }
        Ok(written)
    }
}
