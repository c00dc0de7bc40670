//! Blocks one after the other, and the norm after them.

use super::{ENCODER_PLACES, ENCODER_SITES, Input, PLACES, Sides};
use crate::backbones::Shape;
use crate::fused::{BlockShape, Norm, Sink};
use crate::{Error, Result};

/// What a stack of blocks is to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole of it.
    Whole,
    /// The one that reads what a decoder then looks at.
    Encoder,
    /// The one that looks at what an encoder has found.
    Decoder,
    /// Another beside it, on the same embeddings.
    Generator,
}

/// Blocks and the norm after them: the backbone's own, or those of a generator beside it.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    part: Part,
    pub(super) layers: usize,
    /// Where each block's gradients are left.
    pub(super) sinks: Vec<Sink>,
}

/// A parameter of a block and its dimensions.
type Parameter = (&'static str, Vec<usize>);

/// The blocks of a backbone of this shape by their names, with their parameters.
pub(crate) fn blocks(shape: Shape) -> impl Iterator<Item = (String, Vec<Parameter>)> {
    all(shape).flat_map(move |stack| {
        let parameters: Vec<Parameter> = stack.parameters(shape).collect();
        (0..stack.layers).map(move |layer| (stack.block(layer), parameters.clone()))
    })
}

/// The stacks of a backbone of this shape.
pub(super) fn all(shape: Shape) -> impl Iterator<Item = Stack> {
    encoder(shape).into_iter().chain([body(shape)])
}

/// The stack that reads what the other looks at, if there is one.
pub(super) fn encoder(shape: Shape) -> Option<Stack> {
    shape.has_encoder().then(|| Stack::new(Part::Encoder, shape.encoder_layers))
}

/// The stack at whose end a backbone answers.
pub(super) fn body(shape: Shape) -> Stack {
    let part = if shape.has_encoder() { Part::Decoder } else { Part::Whole };
    Stack::new(part, shape.layers)
}

/// What the encoder reads.
pub(super) fn encoded(input: &Input) -> Result<&Input> {
    let missing = || Error::setting("a batch", "without what the encoder reads", "with it");
    input.encoded.as_deref().ok_or_else(missing)
}

impl Stack {
    pub(super) fn new(part: Part, layers: usize) -> Self {
        let sinks = (0..layers).map(|_| Sink::default()).collect();
        Self { part, layers, sinks }
    }

    /// What the names of its parameters begin with.
    fn prefix(&self) -> &'static str {
        match self.part {
            Part::Whole | Part::Decoder => "",
            Part::Encoder => "encoder.",
            Part::Generator => "objective.generator.",
        }
    }

    /// The name of a block.
    pub(super) fn block(&self, layer: usize) -> String {
        format!("{}block.{layer}", self.prefix())
    }

    /// The name of a block's parameter.
    pub(super) fn name(&self, layer: usize, name: &str) -> String {
        format!("{}.{name}", self.block(layer))
    }

    /// The name of a parameter of the norm after the blocks.
    pub(super) fn norm(&self, name: &str) -> String {
        format!("{}norm.{name}", self.prefix())
    }

    /// The table of the places of what it reads.
    pub(super) fn places(&self) -> &'static str {
        if self.part == Part::Encoder { ENCODER_PLACES } else { PLACES }
    }

    /// Whether it is the backbone's own, into which adapters go.
    pub(super) fn is_backbone(&self) -> bool {
        self.part != Part::Generator
    }

    /// Whether prompts stand around what it reads: around what an encoder reads, if there is one
    /// (Lester et al. 2021, on T5).
    pub(super) fn is_prompted(&self, shape: Shape) -> bool {
        self.part == if shape.has_encoder() { Part::Encoder } else { Part::Whole }
    }

    /// Whether what it makes of prompts is looked at later.
    pub(super) fn keeps_prompts(&self) -> bool {
        self.part == Part::Encoder
    }

    /// The site of dropout of its embeddings; those of its blocks follow.
    pub(super) fn first_site(&self) -> u32 {
        if self.part == Part::Encoder { ENCODER_SITES } else { 0 }
    }

    /// Sites of dropout that a block has, and so the distance of the blocks' seeds.
    pub(super) fn sites_a_block(&self) -> usize {
        if self.part == Part::Decoder { 3 } else { 2 }
    }

    pub(super) fn block_shape(&self, shape: Shape, sides: Sides) -> BlockShape {
        BlockShape {
            width: shape.embedding_size,
            heads: shape.heads,
            size: shape.head_size,
            inner: shape.inner_size,
            causal: sides == Sides::Causal,
            reads: self.part == Part::Decoder,
            style: shape.style,
        }
    }

    /// The parameters that a block has, with their dimensions.
    pub(super) fn parameters(&self, shape: Shape) -> impl Iterator<Item = Parameter> {
        let parameters = self.block_shape(shape, Sides::Causal).parameters().into_iter();
        parameters.filter(|(_, dimensions)| exists(dimensions))
    }

    /// Its parameters and their dimensions.
    pub(super) fn dimensions(&self, shape: Shape) -> Vec<(String, Vec<usize>)> {
        let mut all = Vec::new();
        for layer in 0..self.layers {
            let parameters = self.parameters(shape);
            all.extend(parameters.map(|(name, size)| (self.name(layer, name), size)));
        }
        all.push((self.norm("weight"), vec![shape.embedding_size]));
        if shape.style.norm == Norm::Layer {
            all.push((self.norm("bias"), vec![shape.embedding_size]));
        }
        all
    }
}

/// Whether a block's parameter of these dimensions is there at all.
pub(super) fn exists(dimensions: &[usize]) -> bool {
    dimensions.iter().product::<usize>() > 0
}
