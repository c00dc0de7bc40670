//! Language models that go on with a text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::family::Config;
use super::folder::WeightFiles;
use super::gguf::Gguf;
use super::weights::{Folder, Weights};
use crate::adapters::SOFT;
use crate::fused::{
    Affine, Matrix, Norms, Past, PreNormBlock, PreNormShape, PreNormWeights, Precision, Quantised,
    Rotation, Vocabulary, pre_norm_blocks,
};
use crate::{Error, Result};

/// What files call the table with which states are compared, where it is not that of the embeddings.
pub(super) const HEAD: &str = "output.weight";

/// A pre-trained causal language model of the families of `LLaMA` (`SmolLM`, `TinyLlama`, Mistral,
/// `LLaMA` 3), `Qwen2`, `Qwen3`, Gemma 3 (over texts) or GPT-2, from a GGUF file or from a folder as
/// `transformers` leaves it (`config.json`, and `model.safetensors` or the files that its index names).
///
/// The numbers of a GGUF file are read as f32, whatever they are kept in.
///
/// # References
/// Touvron et al. 2023, *`LLaMA`*; Grattafiori et al. 2024, *`LLaMA` 3*; Yang et al. 2024 and 2025,
/// *`Qwen2`* and *`Qwen3`*; Gemma Team 2025, *Gemma 3*; Radford et al. 2019, GPT-2; Ben Allal et al.
/// 2025, *`SmolLM2`*.
#[derive(Debug)]
pub struct CausalModel {
    shape: PreNormShape,
    longest: usize,
    n_tokens: usize,
    embedding: Embedding,
    blocks: Vec<PreNormBlock>,
    norm: Affine,
    head: Vocabulary,
    rotations: Vec<Rotation>,
    /// What embeddings of tokens are multiplied with.
    scale: f32,
    /// Embeddings of places: [places, width]; none where places turn.
    places: Vec<f32>,
    /// Vectors that stand before everything that is read: [any, width].
    prompt: Vec<f32>,
    /// Those of tokens from [`SOFT`] on: [any, width].
    soft: Vec<f32>,
    hash: String,
}

/// What a model is made of, beside its blocks.
pub(super) struct Parts {
    pub(super) shape: PreNormShape,
    pub(super) longest: usize,
    /// Of places, as blocks name them.
    pub(super) rotations: Vec<Rotation>,
    /// What embeddings of tokens are multiplied with.
    pub(super) scale: f32,
    /// Embeddings of places: [places, width]; none where places turn.
    pub(super) places: Vec<f32>,
    /// [tokens, width].
    pub(super) table: Matrix,
    /// The same where it is not the table.
    pub(super) head: Option<Matrix>,
    pub(super) norm: Affine,
    /// Vectors that stand before everything that is read.
    pub(super) prompt: Vec<f32>,
    /// Those of tokens from [`SOFT`] on: [any, width].
    pub(super) soft: Vec<f32>,
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

/// A model's file or folder, before its weights are read.
pub(super) struct Opened {
    config: Config,
    weights: Box<dyn Weights>,
    files: WeightFiles,
}

impl Opened {
    pub(super) fn at(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let (config, files) = (Config::of_folder(path)?, WeightFiles::of(path)?);
            let weights = Box::new(Folder::read(&files, config.family)?);
            Ok(Self { config, weights, files })
        } else {
            let mut file = Gguf::open(path)?;
            let config = Config::of_gguf(&mut file)?;
            Ok(Self { config, weights: Box::new(file), files: WeightFiles::one(path) })
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn weights(&mut self) -> &mut dyn Weights {
        &mut *self.weights
    }
}

impl CausalModel {
    /// Reads the GGUF file or the folder at `path`; factors of its products are rounded to
    /// `precision`, but for products of few rows with weights that the file keeps in few bits, which
    /// round nothing.
    pub fn read(path: &Path, precision: Precision) -> Result<Self> {
        let mut opened = Opened::at(path)?;
        let config = opened.config().clone();
        let Config { shape, layers, n_tokens, longest, .. } = config;
        let hash = format!("{}-{precision:?}", opened.files.hash()?);
        let from = opened.weights();
        let head = from.has(HEAD).then(|| from.of(HEAD, &[n_tokens, shape.width])).transpose()?;
        let parts = Parts {
            shape,
            longest,
            rotations: config.rotations(),
            scale: config.scale(),
            places: from.places(&config)?,
            table: from.of("token_embd.weight", &[n_tokens, shape.width])?,
            head,
            norm: from.norm("output_norm", shape)?,
            prompt: Vec::new(),
            soft: Vec::new(),
            hash,
        };
        Self::from_parts(parts, (0..layers).map(|layer| from.block(&config, layer)), precision)
    }

    pub(super) fn from_parts(
        parts: Parts,
        blocks: impl Iterator<Item = Result<PreNormWeights>>,
        precision: Precision,
    ) -> Result<Self> {
        let Parts {
            shape,
            longest,
            rotations,
            scale,
            places,
            table,
            head,
            norm,
            prompt,
            soft,
            hash,
        } = parts;
        let n_tokens = table.values.len() / shape.width;
        let block = |weights: Result<_>| Ok(PreNormBlock::new(shape, weights?, precision));
        Ok(Self {
            head: Vocabulary::new(head.unwrap_or_else(|| table.clone()), n_tokens, precision),
            embedding: Embedding::new(table),
            blocks: blocks.map(block).collect::<Result<_>>()?,
            norm,
            rotations,
            scale,
            places,
            shape,
            longest,
            n_tokens,
            prompt,
            soft,
            hash,
        })
    }

    /// The most tokens that the model at `path` reads, without reading its weights.
    pub fn longest_at(path: &Path) -> Result<usize> {
        Ok(Config::at(path)?.longest)
    }

    /// How many tokens it knows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The most tokens that it reads, those that it writes among them.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Width of a state.
    pub fn width(&self) -> usize {
        self.shape.width
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
            pre_norm_blocks(&self.blocks, &[n], (past, true), &self.rotations, &mut prompt);
        }
        // Places are those of tokens; a prompt has none.
        let mut x = self.embedded(sequences, past.len() - self.prompt.len() / width)?;
        pre_norm_blocks(&self.blocks, &lengths, (past, keep), &self.rotations, &mut x);
        let mut states = vec![0.0; x.len()];
        let (weight, bias) = (&self.norm.0[..], &self.norm.1[..]);
        let PreNormShape { norm, epsilon, .. } = self.shape;
        Norms { norm, epsilon, weight, bias }.run(&x, &mut states);
        Ok(states)
    }

    /// Whether it is a token that the model can say.
    fn known(&self, token: u32) -> Result<()> {
        if (token as usize) < self.n_tokens {
            return Ok(());
        }
        let expected = format!("one below {}, which the model knows", self.n_tokens);
        Err(Error::setting("a token", token, expected))
    }

    /// The embeddings of the tokens of `sequences`, which all begin at the place `first`.
    fn embedded(&self, sequences: &[&[u32]], first: usize) -> Result<Vec<f32>> {
        let n: usize = sequences.iter().map(|tokens| tokens.len()).sum();
        let width = self.shape.width;
        let mut x = Vec::with_capacity(width * n);
        for &token in sequences.iter().copied().flatten() {
            if let Some(soft) = token.checked_sub(SOFT) {
                let vector = self.soft.chunks_exact(width).nth(soft as usize);
                let expected = format!("one of the {} it has", self.soft.len() / width);
                x.extend_from_slice(
                    vector.ok_or_else(|| Error::setting("a soft token", soft, expected))?,
                );
                continue;
            }
            self.known(token)?;
            let first = x.len();
            self.embedding.read(token as usize, width, &mut x);
            if self.scale.to_bits() != 1.0_f32.to_bits() {
                x[first..].iter_mut().for_each(|x| *x *= self.scale);
            }
        }
        if !self.places.is_empty() {
            let places = sequences.iter().flat_map(|tokens| first..first + tokens.len());
            for (x, place) in x.chunks_exact_mut(width).zip(places) {
                let place = &self.places[place * width..][..width];
                x.iter_mut().zip(place).for_each(|(x, place)| *x += place);
            }
        }
        Ok(x)
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
        let targets = continuations.concat();
        targets.iter().try_for_each(|token| self.known(*token))?;
        let all = self.head.log_probabilities(&states, &targets);
        let mut rest = &all[..];
        let mut own = |n: usize| {
            let (first, others) = rest.split_at(n);
            rest = others;
            first.to_vec()
        };
        Ok(continuations.iter().map(|tokens| own(tokens.len())).collect())
    }

    /// [`CausalModel::log_probabilities`] of answers, each to the prompt that is `common` and then the one of
    /// `rests`, none of them empty, of its number. Answers that differ in their last token alone, as words of
    /// one token do, are read together.
    pub(super) fn log_probabilities_of_answers(
        &self,
        common: &[u32],
        rests: &[&[u32]],
        answers: &[(usize, &[u32])],
    ) -> Result<Vec<Vec<f32>>> {
        let mut past = Past::default();
        if !common.is_empty() {
            self.states(&[common], &mut past, true)?;
        }
        // What follows the last token of an answer is not asked for.
        let read = |&(prompt, answer): &(usize, &[u32])| {
            answer.split_last().map(|(_, before)| [rests[prompt], before].concat())
        };
        let wanted: Vec<Option<Vec<u32>>> = answers.iter().map(read).collect();
        let distinct: BTreeSet<&[u32]> = wanted.iter().flatten().map(Vec::as_slice).collect();
        let sequences: Vec<&[u32]> = distinct.into_iter().collect();
        let states = self.states(&sequences, &mut past, false)?;
        let mut ends = BTreeMap::new();
        for sequence in sequences {
            let begin = ends.last_key_value().map_or(0, |(_, end)| *end);
            ends.insert(sequence, begin + sequence.len());
        }
        let (width, mut of_answers) = (self.shape.width, Vec::new());
        for (sequence, (_, answer)) in wanted.iter().zip(answers) {
            let Some(end) = sequence.as_ref().map(|sequence| ends[&sequence[..]]) else { continue };
            of_answers.extend_from_slice(&states[(end - answer.len()) * width..end * width]);
        }
        let targets: Vec<u32> = answers.iter().flat_map(|(_, answer)| *answer).copied().collect();
        targets.iter().try_for_each(|token| self.known(*token))?;
        let mut all = self.head.log_probabilities(&of_answers, &targets).into_iter();
        Ok(answers.iter().map(|(_, answer)| all.by_ref().take(answer.len()).collect()).collect())
    }

    /// The tokens with which the model goes on after `prompt`, the most likely one each time, until
    /// one of `stop` or `most` tokens; without the one that stops.
    pub fn generate(&self, prompt: &[u32], most: usize, stop: &[u32]) -> Result<Vec<u32>> {
        let (mut past, mut written) = (Past::default(), Vec::new());
        let mut states = self.states(&[prompt], &mut past, true)?;
        while written.len() < most {
            let last = states.len().checked_sub(self.shape.width).map_or(&[][..], |i| &states[i..]);
            let logits = self.logits(last);
            let Some(next) = super::most_likely(&logits).filter(|next| !stop.contains(next)) else {
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
