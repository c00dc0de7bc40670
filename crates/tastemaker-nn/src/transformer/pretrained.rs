//! What pre-trained language models have beside what a shape says.

use std::sync::Arc;

use candle_core::Device;
use tastemaker_core::SeedTree;

use super::table::OUTPUT;
use super::{Sides, Transformer, dimensions};
use crate::Result;
use crate::backbones::Shape;
use crate::fused::{AttentionMask, Lanes, Rotation};
use crate::parameters::Init;

/// What a pre-trained causal language model has beside what its [`Shape`] says.
#[derive(Clone, Debug)]
pub(crate) struct Pretrained {
    /// What turns queries and keys, by the numbers that the blocks have for it.
    pub(crate) rotations: Vec<Rotation>,
    /// For each block which of these is its, and how many tokens, itself the last of them, a token
    /// sees, if not all before it.
    pub(crate) blocks: Vec<(Option<usize>, Option<usize>)>,
    /// What embeddings of tokens are multiplied with.
    pub(crate) scale: f32,
    /// Whether states are compared with another table than that of the embeddings.
    pub(crate) own_head: bool,
}

impl Pretrained {
    /// What turns queries and keys of the block at `layer`, if that is said here.
    pub(super) fn rotation(&self, layer: usize) -> Option<Rotation> {
        self.blocks[layer].0.map(|number| self.rotations[number].clone())
    }

    /// What the window of a block hides from the tokens of `lanes`, where some sequence is longer.
    pub(super) fn mask(&self, lanes: &Lanes) -> Option<(usize, Arc<AttentionMask>)> {
        let window = self.blocks.iter().find_map(|(_, window)| *window)?;
        let longest = lanes.lengths().iter().copied().max().unwrap_or(0);
        let sees = |_, token: usize, other: usize| other + window > token;
        (longest > window).then(|| (window, Arc::new(AttentionMask::new(lanes, sees))))
    }
}

impl Transformer {
    /// A causal model of this shape over `vocabulary` tokens, on the CPU, whose weights, zeros, are
    /// still to be given.
    pub(crate) fn of_pretrained(
        shape: Shape,
        vocabulary: usize,
        pretrained: Pretrained,
    ) -> Result<Self> {
        let mut model = Self::without_weights(Device::Cpu, shape, Sides::Causal);
        let head = pretrained.own_head.then(|| (OUTPUT, vec![vocabulary, shape.embedding_size]));
        let head = head.map(|(name, dimensions)| (name.to_owned(), dimensions));
        for (name, size) in dimensions(shape, vocabulary).into_iter().chain(head) {
            model.parameters.add(&name, &size, Init::Zeros, &SeedTree::new(0))?;
        }
        model.pretrained = Some(pretrained);
        Ok(model)
    }

    /// What it has beside its shape, if it was pre-trained over text.
    pub(crate) fn pretrained(&self) -> Option<&Pretrained> {
        self.pretrained.as_ref()
    }
}
