//! Pre-trained causal language models that go on learning.

use std::path::Path;

use tastemaker_core::artifact;

use super::causal_model::{CausalModel, HEAD, Opened, Parts};
use super::family::{Config, Family};
use super::folder::{WEIGHTS, WeightFiles};
use crate::adapters::{AnyAdapter, Place};
use crate::backbones::{Shape, Views};
use crate::fused::{
    Active, Affine, Epsilon, FeedForward, Matrix, More, Norm, Positions, PreNormShape,
    PreNormWeights, Precision, Style, WithBias,
};
use crate::transformer::{OUTPUT, PLACES, TABLE, Transformer};
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

/// The norms of heads of queries and of keys.
const OF_HEADS: [&str; 2] = ["attention.query-norm.weight", "attention.key-norm.weight"];

/// Those of what attention and the feed-forward layer add.
const AFTER: [&str; 2] = ["attention.after-norm.weight", "feed-forward.after-norm.weight"];

impl CausalModel {
    /// The model at `path` as a [`Transformer`] over its tokens, which learns as every other does. The
    /// numbers of a GGUF file are f32 in it, whatever they were kept in.
    ///
    /// Keys and values that several heads of queries share stand there once for each of them.
    ///
    /// # Errors
    /// As [`CausalModel::shape_at`].
    pub fn trainable(path: &Path) -> Result<Transformer> {
        let mut opened = Opened::at(path)?;
        let config = opened.config().clone();
        let Config { shape: own, n_tokens, layers, .. } = config;
        let (shape, from) = (shape(path, &config)?, opened.weights());
        let head = from.has(HEAD);
        let model = Transformer::of_pretrained(shape, n_tokens, config.pretrained(head))?;
        let give = |name: &str, values: &[f32]| model.parameters().replace(name, values);
        give(TABLE, &from.of("token_embd.weight", &[n_tokens, own.width])?.values)?;
        if head {
            give(OUTPUT, &from.of(HEAD, &[n_tokens, own.width])?.values)?;
        }
        let (weight, bias) = from.norm("output_norm", own)?;
        give("norm.weight", &weight)?;
        if own.norm == Norm::Layer {
            give("norm.bias", &bias)?;
        }
        if shape.style.positions == Positions::Learned {
            give(PLACES, &from.places(&config)?)?;
        }
        for layer in 0..layers {
            for (name, values) in spread(own, from.block(&config, layer)?) {
                give(&format!("block.{layer}.{name}"), &values)?;
            }
        }
        Ok(model)
    }

    /// The numbers of the [`Transformer`] that the model at `path` is, without reading its weights.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn shape_at(path: &Path) -> Result<Shape> {
        shape(path, &Config::at(path)?)
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
        adapter.is_mergeable() || (soft && adapter.place() != Place::After)
    }

    /// What a model from [`CausalModel::trainable`] has become: what adapters add to its weights
    /// is added, the vectors of a soft prompt before its sequences are read first, and those of one
    /// within where their tokens stand. `identity` tells it from every other.
    ///
    /// # Errors
    /// If something else was put into it.
    pub fn of(mut model: Transformer, precision: Precision, identity: &str) -> Result<Self> {
        model.merge()?;
        let [prompt, soft] = model.soft_prompts()?;
        let Some(pretrained) = model.pretrained().cloned() else {
            return Err(Error::setting("a model", "learnt from nothing", "one that was read"));
        };
        let Shape { layers, max_length, .. } = model.shape();
        let shape = pre_norm_shape(model.shape())?;
        let whole = |name: &str| Ok::<Matrix, Error>(model.parameters().values(name)?.into());
        let turns = !pretrained.rotations.is_empty();
        Self::from_parts(
            Parts {
                shape,
                longest: max_length,
                scale: pretrained.scale,
                places: if turns { Vec::new() } else { model.parameters().values(PLACES)? },
                table: whole(TABLE)?,
                head: pretrained.own_head.then(|| whole(OUTPUT)).transpose()?,
                norm: affine(&model, "norm", shape.norm)?,
                rotations: pretrained.rotations,
                prompt,
                soft,
                hash: identity.to_owned(),
            },
            (0..layers).map(|layer| block(&model, layer, pretrained.blocks[layer])),
            precision,
        )
    }
}

/// Scale and shift of a norm of a model.
fn affine(model: &Transformer, name: &str, norm: Norm) -> Result<Affine> {
    let weight = model.parameters().values(&format!("{name}.weight"))?;
    let shift = match norm {
        Norm::Layer => model.parameters().values(&format!("{name}.bias"))?,
        Norm::Rms => vec![0.0; weight.len()],
    };
    Ok((weight, shift))
}

/// The weights of the block at `layer`, of which is said what turns it and how far it sees.
fn block(
    model: &Transformer,
    layer: usize,
    (rotation, window): (Option<usize>, Option<usize>),
) -> Result<PreNormWeights> {
    let style = model.shape().style;
    let name = |part: &str| format!("block.{layer}.{part}");
    let values = |part: &str| model.parameters().values(&name(part));
    let linear = |part: &str| -> Result<WithBias> {
        Ok((values(&format!("{part}.weight"))?.into(), values(&format!("{part}.bias"))?))
    };
    let scales = |there: bool, parts: [&str; 2]| -> Result<Option<[Vec<f32>; 2]>> {
        let [first, second] = parts.map(|part| there.then(|| values(part)).transpose());
        Ok(first?.zip(second?).map(|(first, second)| [first, second]))
    };
    Ok(PreNormWeights {
        qkv: linear("attention.qkv")?,
        out: linear("attention.out")?,
        attention_norm: affine(model, &name("attention-norm"), style.norm)?,
        into: linear("feed-forward.in")?,
        out_of: linear("feed-forward.out")?,
        feed_forward_norm: affine(model, &name("feed-forward-norm"), style.norm)?,
        more: More {
            head_norms: scales(style.head_norms, OF_HEADS)?,
            after_norms: scales(style.after_norms, AFTER)?,
            rotation,
            window,
        },
    })
}

/// What a model of this shape is read with once it has learnt.
fn pre_norm_shape(shape: Shape) -> Result<PreNormShape> {
    let Style { norm, norm_epsilon, feed_forward, .. } = shape.style;
    let active = match feed_forward {
        FeedForward::Swiglu => Active::SiluGated,
        FeedForward::GegluTanh => Active::GeluGated,
        FeedForward::GeluTanh => Active::Gelu,
        FeedForward::Gelu | FeedForward::Relu => {
            let expected = "one that a causal language model has";
            return Err(Error::setting("feed-forward", format!("{feed_forward:?}"), expected));
        }
    };
    Ok(PreNormShape {
        width: shape.embedding_size,
        heads: shape.heads,
        key_heads: shape.heads,
        size: shape.head_size,
        inner: shape.inner_size,
        epsilon: norm_epsilon.get(),
        norm,
        active,
    })
}

/// What a [`Transformer`] must be to be the model at `path`.
fn shape(path: &Path, config: &Config) -> Result<Shape> {
    let PreNormShape { width, heads, size, inner, epsilon, norm, active, .. } = config.shape;
    let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
    let norm_epsilon = Epsilon::try_from(epsilon)
        .map_err(|problem| failed(format!("what the model's norms add is {problem}")))?;
    Ok(Shape {
        layers: config.layers,
        encoder_layers: 0,
        heads,
        head_size: size,
        embedding_size: width,
        inner_size: inner,
        max_length: config.longest,
        dropout: 0.0,
        views: Views::default(),
        style: Style {
            norm,
            norm_epsilon,
            feed_forward: match active {
                Active::SiluGated => FeedForward::Swiglu,
                Active::GeluGated => FeedForward::GegluTanh,
                Active::Gelu => FeedForward::GeluTanh,
            },
            positions: match config.family {
                Family::Gpt2 => Positions::Learned,
                _ => Positions::Rotary,
            },
            head_norms: config.family.has_head_norms(),
            after_norms: config.family.has_after_norms(),
            ..Style::default()
        },
    })
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
        more,
    } = weights;
    let shifts = [
        ("attention-norm.bias", attention_norm.1),
        ("feed-forward-norm.bias", feed_forward_norm.1),
    ];
    let named = |names: [&'static str; 2], scales: Option<[Vec<f32>; 2]>| {
        scales.into_iter().flat_map(move |scales| names.into_iter().zip(scales))
    };
    [
        ("attention-norm.weight", attention_norm.0),
        ("attention.qkv.weight", each_head(shape, &qkv.values, shape.width)),
        ("attention.qkv.bias", each_head(shape, &qkv_bias, 1)),
        ("attention.out.weight", out.0.values),
        ("attention.out.bias", out.1),
        ("feed-forward-norm.weight", feed_forward_norm.0),
        ("feed-forward.in.weight", into.0.values),
        ("feed-forward.in.bias", into.1),
        ("feed-forward.out.weight", out_of.0.values),
        ("feed-forward.out.bias", out_of.1),
    ]
    .into_iter()
    .chain(shifts.into_iter().filter(move |_| shape.norm == Norm::Layer))
    .chain(named(OF_HEADS, more.head_norms))
    .chain(named(AFTER, more.after_norms))
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
