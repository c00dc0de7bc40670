//! Pre-trained causal language models that go on learning.

use std::path::Path;

use candle_core::Device;
use tastemaker_core::{SeedTree, artifact};

use super::causal_model::{CausalModel, Opened, Parts};
use super::family::{Config, Family};
use super::folder::{WEIGHTS, WeightFiles};
use crate::adapters::AnyAdapter;
use crate::backbones::{AnyBackbone, Decoder};
use crate::fused::{
    Active, Affine, Epsilon, FeedForward, Matrix, More, Norm, Positions, PreNormShape,
    PreNormWeights, Precision, Rotation, Style, WithBias,
};
use crate::transformer::{PLACES, TABLE, Transformer};
use crate::{Error, Result};

/// The files of a folder from which answers follow.
const FILES: [&str; 6] = [
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
];

impl CausalModel {
    /// The model at `path` as a [`Transformer`] over its tokens, which learns as every other does.
    ///
    /// Keys and values that several heads of queries share stand there once for each of them.
    ///
    /// # Errors
    /// As [`CausalModel::backbone_at`].
    pub fn trainable(path: &Path) -> Result<Transformer> {
        let mut opened = Opened::at(path)?;
        let (backbone, config) = (backbone(path, &mut opened)?, opened.config().clone());
        let Config { shape, n_tokens, layers, .. } = config;
        let model = Transformer::on(Device::Cpu, &backbone, n_tokens, &SeedTree::new(0))?;
        let mut all = vec![(
            TABLE.to_owned(),
            opened.weights().of("token_embd.weight", &[n_tokens, shape.width])?.values,
        )];
        let (weight, bias) = opened.weights().norm("output_norm", shape)?;
        all.extend([("norm.weight".to_owned(), weight), ("norm.bias".to_owned(), bias)]);
        all.push((PLACES.to_owned(), opened.weights().places(&config)?));
        for layer in 0..layers {
            let weights = opened.weights().block(&config, layer)?;
            all.extend(
                spread(shape, weights)
                    .map(|(name, values)| (format!("block.{layer}.{name}"), values)),
            );
        }
        let all: std::collections::BTreeMap<String, Vec<f32>> = all.into_iter().collect();
        model.parameters().set(|name, _| {
            let missing = || Error::setting("the parameter", name, "one that the model has");
            all.get(name).map(Vec::as_slice).ok_or_else(missing)
        })?;
        Ok(model)
    }

    /// What the model at `path` is as a backbone.
    ///
    /// # Errors
    /// If the file cannot be read, or the model is of a kind that a [`Decoder`] is not: if its table
    /// of tokens is not also its head, or if its heads are not as wide together as its states.
    pub fn backbone_at(path: &Path) -> Result<AnyBackbone> {
        backbone(path, &mut Opened::at(path)?)
    }

    /// Tells the model at `path`, with its tokenizer, from every other.
    pub fn hash_at(path: &Path) -> Result<String> {
        if !path.is_dir() {
            return Ok(artifact::sha256_file(path)?);
        }
        let mut all = String::new();
        for name in FILES {
            let file = path.join(name);
            let hash = match name {
                WEIGHTS => WeightFiles::of(path)?.hash()?,
                _ if file.exists() => artifact::sha256_file(&file)?,
                _ => continue,
            };
            all = format!("{all}{name} {hash}\n");
        }
        Ok(artifact::sha256(all.as_bytes()))
    }

    /// Whether a model that has learnt can be read with this in it.
    pub fn reads(adapter: &AnyAdapter) -> bool {
        let soft = matches!(adapter, AnyAdapter::SoftPrompt(_));
        let adapter = adapter.as_dyn();
        adapter.is_mergeable() || (soft && adapter.place().is_before())
    }

    /// What a model from [`CausalModel::trainable`] has become: what adapters add to its weights
    /// is added, and the vectors of a soft prompt before its sequences are read first. `identity`
    /// tells it from every other.
    ///
    /// # Errors
    /// If something else was put into it.
    pub fn of(mut model: Transformer, precision: Precision, identity: &str) -> Result<Self> {
        model.merge()?;
        let prompt = model.soft_prompt()?;
        let shape = model.shape();
        let values = |name: &str| model.parameters().values(name);
        let Style { norm, norm_epsilon, feed_forward, positions, rotary_base, .. } = shape.style;
        let with_shift = |name: &str| -> Result<Affine> {
            let weight = values(&format!("{name}.weight"))?;
            let shift = match norm {
                Norm::Layer => values(&format!("{name}.bias"))?,
                Norm::Rms => vec![0.0; weight.len()],
            };
            Ok((weight, shift))
        };
        let turns = positions == Positions::Rotary;
        let whole = |name: String| -> Result<Matrix> { Ok(values(&name)?.into()) };
        let of_block = |layer: usize| -> Result<PreNormWeights> {
            let name = |part: &str| format!("block.{layer}.{part}");
            let linear = |part: &str| {
                Ok::<WithBias, Error>((
                    whole(name(&format!("{part}.weight")))?,
                    values(&name(&format!("{part}.bias")))?,
                ))
            };
            Ok(PreNormWeights {
                qkv: linear("attention.qkv")?,
                out: linear("attention.out")?,
                attention_norm: with_shift(&name("attention-norm"))?,
                into: linear("feed-forward.in")?,
                out_of: linear("feed-forward.out")?,
                feed_forward_norm: with_shift(&name("feed-forward-norm"))?,
                more: More { rotation: turns.then_some(0), ..More::default() },
            })
        };
        let own = PreNormShape {
            width: shape.embedding_size,
            heads: shape.heads,
            key_heads: shape.heads,
            size: shape.embedding_size / shape.heads,
            inner: shape.inner_size,
            epsilon: norm_epsilon.get(),
            norm,
            active: match feed_forward {
                FeedForward::Swiglu => Active::SiluGated,
                FeedForward::GegluTanh => Active::GeluGated,
                FeedForward::Gelu | FeedForward::GeluTanh => Active::Gelu,
                FeedForward::Relu => {
                    let expected = "one that a causal language model is read with";
                    return Err(Error::setting("feed-forward", "relu", expected));
                }
            },
        };
        let rotation = Rotation::new(own.size, shape.max_length, f64::from(rotary_base));
        Self::from_parts(
            Parts {
                shape: own,
                longest: shape.max_length,
                rotations: if turns { vec![rotation] } else { vec![] },
                scale: 1.0,
                places: if turns { Vec::new() } else { values(PLACES)? },
                table: whole(TABLE.to_owned())?,
                head: None,
                norm: with_shift("norm")?,
                prompt,
                hash: identity.to_owned(),
            },
            (0..shape.layers).map(of_block),
            precision,
        )
    }
}

/// What a [`Transformer`] must be to be the model that was opened.
fn backbone(path: &Path, opened: &mut Opened) -> Result<AnyBackbone> {
    let config = opened.config().clone();
    let shape = config.shape;
    let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
    if shape.queries() != shape.width {
        let PreNormShape { width, heads, size, .. } = shape;
        let found = format!("{heads} heads of {size} numbers in states of {width}");
        return Err(failed(format!("a model with {found} cannot learn here")));
    }
    let norm_epsilon = Epsilon::try_from(shape.epsilon)
        .map_err(|problem| failed(format!("what the model's norms add is {problem}")))?;
    if opened.weights().has("output.weight") {
        let problem = "a model whose head has weights of its own cannot learn here";
        return Err(failed(problem.to_owned()));
    }
    let (feed_forward, positions, rotary_base) = if config.family == Family::Gpt2 {
        (FeedForward::GeluTanh, Positions::Learned, None)
    } else {
        let kinds =
            "only those of GPT-2, and of LLaMA and Qwen2 whose places turn by a whole number";
        let unknown = || failed(format!("a model of this kind cannot learn here, {kinds}, can"));
        (FeedForward::Swiglu, Positions::Rotary, Some(config.plain_base().ok_or_else(unknown)?))
    };
    Ok(AnyBackbone::Decoder(Decoder {
        layers: Some(config.layers),
        heads: Some(shape.heads),
        embedding_size: Some(shape.width),
        inner_size: Some(shape.inner),
        max_length: Some(config.longest),
        dropout: Some(0.0),
        norm: shape.norm,
        norm_epsilon: Some(norm_epsilon),
        feed_forward,
        positions,
        rotary_base,
        ..Decoder::default()
    }))
}

/// The weights of a block by the names of a [`Transformer`], with keys and values for each head of
/// queries.
fn spread(
    shape: PreNormShape,
    weights: PreNormWeights,
) -> impl Iterator<Item = (&'static str, Vec<f32>)> {
    let PreNormWeights {
        qkv: (qkv, qkv_bias),
        out,
        attention_norm,
        into,
        out_of,
        feed_forward_norm,
        ..
    } = weights;
    [
        ("attention-norm.weight", attention_norm.0),
        ("attention-norm.bias", attention_norm.1),
        ("attention.qkv.weight", each_head(shape, &qkv.values, shape.width)),
        ("attention.qkv.bias", each_head(shape, &qkv_bias, 1)),
        ("attention.out.weight", out.0.values),
        ("attention.out.bias", out.1),
        ("feed-forward-norm.weight", feed_forward_norm.0),
        ("feed-forward-norm.bias", feed_forward_norm.1),
        ("feed-forward.in.weight", into.0.values),
        ("feed-forward.in.bias", into.1),
        ("feed-forward.out.weight", out_of.0.values),
        ("feed-forward.out.bias", out_of.1),
    ]
    .into_iter()
}

/// Rows of queries, and of keys and values once for each head of queries; each of `row` numbers.
fn each_head(shape: PreNormShape, all: &[f32], row: usize) -> Vec<f32> {
    let (a_head, shared) = (shape.size * row, shape.heads / shape.key_heads);
    let (queries, rest) = all.split_at(shape.queries() * row);
    let (keys, values) = rest.split_at(shape.keys() * row);
    let mut spread = queries.to_vec();
    for part in [keys, values] {
        for head in part.chunks_exact(a_head) {
            (0..shared).for_each(|_| spread.extend_from_slice(head));
        }
    }
    spread
}
