//! A model that answers and no longer learns.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::reading::Cache;
use super::stack::{self, Stack};
use super::{Input, intervals, viewed};
use crate::adapters::{Inserted, Prompted};
use crate::fused::{
    self, Block, BlockShape, BlockWeights, Dropout, Embedding, Int8Table, Keeper, Lanes, LayerNorm,
    Norm, Positions, Precision, RmsNorm, Style, View, multiply,
};
use crate::parameters::Parameters;
use crate::{Error, Result};

/// A trained transformer that answers and no longer learns.
#[derive(Debug)]
pub struct Frozen {
    pub(super) encoder: Option<FrozenStack>,
    pub(super) body: FrozenStack,
    pub(super) max_length: usize,
    pub(super) table: Vec<f32>,
    pub(super) views: Vec<Vec<f32>>,
    pub(super) inserted: Inserted,
    /// Those of the adapters.
    pub(super) parameters: Parameters,
    pub(super) precision: Precision,
    pub(super) int8: Option<Int8Table>,
}

/// Blocks that no longer learn, with what stands before and after them.
#[derive(Debug)]
pub(super) struct FrozenStack {
    pub(super) stack: Stack,
    /// Whether prompts stand around what it reads.
    pub(super) prompted: bool,
    pub(super) shape: BlockShape,
    pub(super) positions: Vec<f32>,
    pub(super) blocks: Vec<BlockWeights>,
    pub(super) norm: (Vec<f32>, Vec<f32>),
}

impl FrozenStack {
    /// The norm after the blocks.
    fn normal(&self, x: &[f32]) -> Vec<f32> {
        let Style { norm, norm_epsilon, .. } = self.shape.style;
        match norm {
            Norm::Layer => LayerNorm(norm_epsilon).run(x, &self.norm.0, &self.norm.1),
            Norm::Rms => RmsNorm(norm_epsilon).run(x, &self.norm.0),
        }
    }
}

/// What an encoder has found in some sequences, for a decoder to look at.
#[derive(Clone, Debug)]
pub struct Memory {
    /// [tokens, width].
    x: Vec<f32>,
    lanes: Arc<Lanes>,
}

impl Memory {
    /// These of its sequences, in this order.
    pub(super) fn chosen(&self, sequences: &[usize]) -> Self {
        let width = self.x.len() / self.lanes.n_tokens().max(1);
        let lengths: Vec<usize> = sequences.iter().map(|&i| self.lanes.lengths()[i]).collect();
        let mut x = Vec::with_capacity(lengths.iter().sum::<usize>() * width);
        for &i in sequences {
            let rows = self.rows(i);
            x.extend_from_slice(&self.x[rows.start * width..rows.end * width]);
        }
        Self { x, lanes: Arc::new(Lanes::new(lengths)) }
    }

    /// The rows of a sequence's states.
    pub(super) fn rows(&self, sequence: usize) -> Range<usize> {
        self.lanes.rows(sequence..sequence + 1)
    }

    /// How many sequences it is of.
    pub(super) fn len(&self) -> usize {
        self.lanes.lengths().len()
    }

    /// The batch of `sequences`, none of them empty, each of which looks at one of this memory's.
    pub(super) fn input(&self, sequences: &[Vec<u32>]) -> Input {
        let lanes = Lanes::reading(sequences.iter().map(Vec::len).collect(), &self.lanes);
        Input::new(sequences.concat().into(), Arc::new(lanes))
    }
}

impl Frozen {
    /// Of longer sequences the end is looked at.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Width of a hidden state.
    pub fn width(&self) -> usize {
        self.body.shape.width
    }

    /// Whether there is an encoder that reads something before.
    pub fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    /// Ranks the first `classes` tokens by bounds from eight-bit numbers first and scores in full
    /// those that they leave: the same best, and fewer bytes to read.
    #[must_use]
    pub fn ranking_by_int8(self, classes: usize) -> Self {
        let width = self.width();
        let int8 = Some(Int8Table::new(&self.table[..classes * width], width));
        Self { int8, ..self }
    }

    /// Offers the first `classes` tokens, scored after `hidden` states [keepers, width], at most
    /// [`fused::RANKED_ROWS`] of them, to each state's keeper; on the calling thread.
    pub fn rank<K: Keeper>(&self, hidden: &[f32], classes: usize, keepers: &mut [K]) {
        let width = self.width();
        let table = &self.table[..classes * width];
        match &self.int8 {
            Some(int8) => int8.rank(hidden, table, keepers),
            None => fused::rank(hidden, table, width, keepers),
        }
    }

    /// Scores of the first `classes` tokens after `hidden` states [n, width], written to `scores`
    /// [n, classes]; on the calling thread.
    pub fn score(&self, hidden: &[f32], classes: usize, scores: &mut [f32]) {
        let width = self.width();
        let shape = (hidden.len() / width, classes, width);
        let table = View::rows(&self.table[..classes * width], width).transposed();
        multiply(scores, classes, shape, View::rows(hidden, width), table);
    }

    /// Scores of the first `classes` tokens after `hidden` states [n, width]: [n, classes]; on the calling
    /// thread.
    pub fn scores(&self, hidden: &[f32], classes: usize) -> Vec<f32> {
        let mut scores = vec![0.0; hidden.len() / self.width() * classes];
        self.score(hidden, classes, &mut scores);
        scores
    }

    /// What the model finds at the last token of each sequence of `input`, of which no mask hides
    /// any: [sequences, width].
    ///
    /// # Errors
    /// If there is an encoder and nothing that it reads.
    pub fn last_hidden(&self, input: &Input) -> Result<Vec<f32>> {
        let memory = match self.encoder {
            None => None,
            Some(_) => self.memory(stack::encoded(input)?)?,
        };
        self.last_hidden_reading(input, memory.as_ref(), None)
    }

    /// What the encoder, if there is one, finds in the sequences of `input`.
    pub fn memory(&self, input: &Input) -> Result<Option<Memory>> {
        let Some(encoder) = &self.encoder else { return Ok(None) };
        let (x, lanes, _) = self.after_blocks(encoder, input, (None, None))?;
        Ok(Some(Memory { x: encoder.normal(&x), lanes }))
    }

    /// [`Frozen::last_hidden`] where the encoder has read before: a sequence of `memory` for each of
    /// `input`. Keys and values go to `cache`, if there is one.
    ///
    /// # Errors
    /// If there are not as many, or an encoder and no memory.
    pub(super) fn last_hidden_reading(
        &self,
        input: &Input,
        memory: Option<&Memory>,
        cache: Option<&mut Cache>,
    ) -> Result<Vec<f32>> {
        let (x, _, last) = self.after_blocks(&self.body, input, (memory, cache))?;
        let width = self.width();
        let last: Vec<f32> = last
            .into_iter()
            .flat_map(|token| &x[token * width..(token + 1) * width])
            .copied()
            .collect();
        let own = (&self.parameters, self.precision);
        self.as_tensor(self.body.normal(&last), |x| self.inserted.after_norm(own, x))
    }

    /// The embeddings of the tokens of `input`.
    fn embedded(&self, stack: &FrozenStack, input: &Input) -> Result<Vec<f32>> {
        let (width, n_tokens) = (self.width(), input.lanes.n_tokens());
        let embedding = Embedding::new(input.tokens.clone(), &input.lanes, Dropout::none());
        let embedding = match &input.places {
            Some(places) => embedding.places(places.clone()),
            None => embedding,
        };
        let nowhere = vec![0.0; width];
        let mut x = match stack.shape.style.positions {
            Positions::Learned => embedding.run(&self.table, &stack.positions, width)?,
            Positions::Relative | Positions::Rotary => {
                embedding.places(vec![0; n_tokens]).run(&self.table, &nowhere, width)?
            }
        };
        for (i, table) in self.views.iter().enumerate() {
            let numbers = viewed(&input.views, i, n_tokens);
            if numbers.len() != n_tokens {
                return Err(Error::setting("a view's numbers", numbers.len(), "one a token"));
            }
            for (x, &number) in x.chunks_exact_mut(width).zip(&*numbers) {
                let row = table.chunks_exact(width).nth(number as usize).ok_or_else(|| {
                    Error::setting("a view's number", number, "one that the view has")
                })?;
                x.iter_mut().zip(row).for_each(|(x, row)| *x += row);
            }
        }
        Ok(x)
    }

    /// The prompts that stand around what a stack reads.
    pub(super) fn prompted(&self, stack: &FrozenStack, input: &Input) -> Result<Option<Prompted>> {
        let prompted = self.inserted.prompted(input, stack.shape.causal)?;
        Ok(prompted.filter(|_| stack.prompted))
    }

    /// The states after the last block, those of prompts among them, the sequences with them, and
    /// the row at which each sequence's last token is read.
    fn after_blocks(
        &self,
        stack: &FrozenStack,
        input: &Input,
        (memory, mut cache): (Option<&Memory>, Option<&mut Cache>),
    ) -> Result<(Vec<f32>, Arc<Lanes>, Vec<usize>)> {
        let own = (&self.parameters, self.precision);
        let mut x = self.embedded(stack, input)?;
        let prompted = self.prompted(stack, input)?;
        let intervals = intervals(stack.shape.style, input, prompted.as_ref())?;
        let lanes = prompted.as_ref().map_or(&input.lanes, |prompted| &prompted.lanes);
        let of_memory = memory.map_or(&[][..], |memory| &memory.x);
        for (layer, weights) in stack.blocks.iter().enumerate() {
            if let Some(prompted) = &prompted {
                x = self.as_tensor(x, |x| self.inserted.prompts(own, prompted, layer, x))?;
            }
            let block = Block::new(stack.shape, lanes.clone(), Dropout::none());
            let block = block.timed(intervals.clone());
            let block = block.reading(memory.map(|memory| memory.lanes.clone()));
            x = match &mut cache {
                Some(cache) => cache.run(layer, block, (&x, of_memory), weights)?,
                None => block.run((&x, of_memory), weights, false)?,
            };
            let name = stack.stack.block(layer);
            x = self.as_tensor(x, |x| self.inserted.after_block(own, &name, x))?;
        }
        let last = match &prompted {
            Some(prompted) => prompted.last_rows(),
            None => lanes.last_tokens().collect(),
        };
        Ok((x, lanes.clone(), last))
    }

    /// What adapters make of the states `x` [rows, width].
    fn as_tensor(
        &self,
        x: Vec<f32>,
        change: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> Result<Vec<f32>> {
        if self.inserted.adapters().is_empty() {
            return Ok(x);
        }
        let (rows, width) = (x.len() / self.width(), self.width());
        let x = change(Tensor::from_vec(x, (rows, width), &Device::Cpu)?)?;
        Ok(x.flatten_all()?.to_vec1()?)
    }
}
