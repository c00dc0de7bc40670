//! What pre-trained language models have beside what a shape says.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use tastemaker_core::SeedTree;

use super::stack::Stack;
use super::table::OUTPUT;
use super::{Input, Sides, Transformer, dimensions, rows};
use crate::adapters::SOFT;
use crate::backbones::Shape;
use crate::fused::{AttentionMask, Block, Lanes, Positions, Rotation};
use crate::parameters::Init;
use crate::{Error, Result};

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

/// What the blocks of a model look at in a batch.
pub(super) struct Looks<'a> {
    own: Option<&'a Pretrained>,
    /// What a window leaves of it, where some sequence is longer.
    window: Option<Arc<AttentionMask>>,
    /// What the batch says.
    mask: Option<Arc<AttentionMask>>,
}

impl Looks<'_> {
    /// A block, which is at `layer`, that looks at this.
    pub(super) fn at(&self, layer: usize, block: Block) -> Block {
        let (rotation, window) = self.own.map_or((None, None), |own| own.blocks[layer]);
        let rotation = self.own.zip(rotation).map(|(own, number)| own.rotations[number].clone());
        let window = self.window.as_ref().filter(|_| window.is_some());
        block.turning(rotation).masked(window.or(self.mask.as_ref()).cloned())
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

    /// What the blocks of `stack` look at in `input`, whose sequences are those of `lanes` with their
    /// prompts.
    ///
    /// # Errors
    /// If there are a window and a mask.
    pub(super) fn looks(
        &self,
        stack: &Stack,
        (input, lanes): (&Input, &Lanes),
    ) -> Result<Looks<'_>> {
        let own = self.pretrained().filter(|_| stack.is_backbone());
        let longest = lanes.lengths().iter().copied().max().unwrap_or(0);
        let mut windows = own.iter().flat_map(|own| &own.blocks).filter_map(|(_, window)| *window);
        let window = windows.next().filter(|window| longest > *window).map(|window| {
            Arc::new(AttentionMask::new(lanes, |_, token, other| other + window > token))
        });
        if window.is_some() && input.mask.is_some() {
            return Err(Error::setting("a window", "beside an attention mask", "one of them"));
        }
        Ok(Looks { own, window, mask: input.mask.clone() })
    }

    /// The tokens of `input`, with some other one in the place of those that are soft.
    pub(super) fn hard_tokens(&self, input: &Input) -> Arc<[u32]> {
        if !self.has_soft_tokens(input) {
            return input.tokens.clone();
        }
        input.tokens.iter().map(|&token| if token >= SOFT { 0 } else { token }).collect()
    }

    fn has_soft_tokens(&self, input: &Input) -> bool {
        self.pretrained.is_some() && input.tokens.iter().any(|&token| token >= SOFT)
    }

    /// The embeddings `x` of [`Transformer::hard_tokens`] as a model that was pre-trained over text has
    /// them, with those of soft tokens in their places.
    pub(super) fn as_pretrained(
        &self,
        stack: &Stack,
        input: &Input,
        mut x: Tensor,
    ) -> Result<Tensor> {
        let scale = self.pretrained().map_or(1.0, |own| own.scale);
        if scale.to_bits() != 1.0_f32.to_bits() {
            x = (x * f64::from(scale))?;
        }
        if self.has_soft_tokens(input) {
            let place = |rows: &[usize]| self.places_of(stack, input, rows);
            x = self.inserted.within(&self.parameters, &input.tokens, (x, place))?;
        }
        Ok(x)
    }

    /// The embeddings of the places of these tokens of `input`, if places have any.
    fn places_of(&self, stack: &Stack, input: &Input, tokens: &[usize]) -> Result<Option<Tensor>> {
        if self.shape.style.positions != Positions::Learned {
            return Ok(None);
        }
        let stands = || input.lanes.lengths().iter().flat_map(|&length| 0..length);
        let all: Vec<u32> = match &input.places {
            Some(places) => places.clone(),
            None => stands().map(|place| u32::try_from(place).unwrap_or(u32::MAX)).collect(),
        };
        let of_tokens = tokens.iter().map(|&token| all[token]).collect();
        rows(self.parameters.get(stack.places()), of_tokens, None).map(Some)
    }
}
