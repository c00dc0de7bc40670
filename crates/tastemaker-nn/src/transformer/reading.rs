//! Going on from sequences, token by token.

use std::sync::Arc;

use super::frozen::{Frozen, Memory};
use super::{Input, Lanes};
use crate::fused::{Block, BlockCache, BlockKind, BlockWeights, Seen};
use crate::{Error, Result};

/// What a model has read of some sequences, for it to go on from, a token at a time and in several
/// ways.
///
/// Keys and values of what was read are kept (a KV cache) and shared by all that goes on from there,
/// so that every token is read once; new tokens look at what was read in f32, whatever factors are
/// rounded to. Models with prompts around what they read, of the HSTU's kind, that look at intervals, or
/// whose tokens see what follows read each sequence again as a whole: the same, more slowly.
#[derive(Debug)]
pub struct Reading<'m> {
    model: &'m Frozen,
    memory: Option<Memory>,
    sequences: Vec<Sequence>,
    cache: Option<Cache>,
}

#[derive(Clone, Debug)]
struct Sequence {
    tokens: Vec<u32>,
    /// Which sequence of the memory it looks at.
    of: usize,
    /// The rows of its tokens in the caches.
    rows: Vec<u32>,
}

/// The caches of a model's blocks, and what the tokens that are read next look at.
#[derive(Debug, Default)]
pub(super) struct Cache {
    blocks: Vec<Arc<BlockCache>>,
    /// Nothing for whole sequences.
    seen: Option<Arc<Seen>>,
    n_rows: usize,
}

impl Cache {
    /// The forward pass of the block at `layer`.
    pub(super) fn run(
        &mut self,
        layer: usize,
        block: Block,
        states: (&[f32], &[f32]),
        weights: &BlockWeights,
    ) -> Result<Vec<f32>> {
        if layer == self.blocks.len() {
            self.blocks.push(Arc::default());
        }
        let block = match &self.seen {
            Some(seen) => block.going_on(self.blocks[layer].clone(), seen.clone()),
            None => block,
        };
        Ok(block.run_into(states, weights, &mut self.blocks[layer])?)
    }

    /// The rows of `n` tokens more.
    fn rows(&mut self, n: usize) -> Result<impl Iterator<Item = u32> + use<>> {
        let before = self.n_rows;
        self.n_rows += n;
        let number = |row: usize| {
            let expected = "fewer than 2^32 in all";
            u32::try_from(row).map_err(|_| Error::setting("tokens read", row, expected))
        };
        Ok(number(before)?..number(self.n_rows)?)
    }
}

impl<'m> Reading<'m> {
    /// Reads `sequences`, none of them empty, and returns what the model finds at the last token of
    /// each, [sequences, width]. Where the model has an encoder, each looks at the sequence of
    /// `memory` that has its number.
    ///
    /// # Errors
    /// If there are not as many, or an encoder and no memory, or a token that the model does not have.
    pub fn new(
        model: &'m Frozen,
        sequences: Vec<Vec<u32>>,
        memory: Option<Memory>,
    ) -> Result<(Self, Vec<f32>)> {
        let input = match &memory {
            Some(memory) if memory.len() == sequences.len() => memory.input(&sequences),
            Some(memory) => {
                let expected = format!("{}, one a sequence", sequences.len());
                return Err(Error::setting("sequences of a memory", memory.len(), expected));
            }
            None => Input::of(&sequences),
        };
        let mut cache = model.keeps_what_it_reads(&input)?.then(Cache::default);
        let states = model.last_hidden_reading(&input, memory.as_ref(), cache.as_mut())?;
        let mut all = Vec::with_capacity(sequences.len());
        for (of, tokens) in sequences.into_iter().enumerate() {
            let rows = match &mut cache {
                Some(cache) => cache.rows(tokens.len())?.collect(),
                None => vec![],
            };
            all.push(Sequence { tokens, of, rows });
        }
        Ok((Self { model, memory, sequences: all, cache }, states))
    }

    /// Goes on from sequences by a token each, and from there next time: `steps` are the numbers of
    /// the sequences among those of the last time, and the tokens. What the model finds at these:
    /// [steps, width].
    ///
    /// # Errors
    /// If there is a token that the model does not have, or a place beyond those that it has embeddings
    /// for.
    ///
    /// # Panics
    /// If there were not as many sequences the last time.
    pub fn go_on(&mut self, steps: &[(usize, u32)]) -> Result<Vec<f32>> {
        let next = |&(from, token): &(usize, u32)| {
            let mut sequence = self.sequences[from].clone();
            sequence.tokens.push(token);
            sequence
        };
        let sequences: Vec<Sequence> = steps.iter().map(next).collect();
        self.sequences = sequences;
        if self.sequences.is_empty() { Ok(vec![]) } else { self.last_hidden() }
    }

    /// What the model finds at the last token of each sequence, of which all others were read.
    fn last_hidden(&mut self) -> Result<Vec<f32>> {
        let Self { model, memory, sequences, cache } = self;
        let Some(cache) = cache else {
            let all: Vec<Vec<u32>> = sequences.iter().map(|s| s.tokens.clone()).collect();
            let of: Vec<usize> = sequences.iter().map(|sequence| sequence.of).collect();
            let memory = memory.as_ref().map(|memory| memory.chosen(&of));
            let input = memory.as_ref().map_or_else(|| Input::of(&all), |m| m.input(&all));
            return model.last_hidden_reading(&input, memory.as_ref(), None);
        };
        let states = memory.iter().flat_map(|m| sequences.iter().map(|s| m.rows(s.of)));
        let before: Vec<Vec<u32>> = sequences.iter().map(|s| s.rows.clone()).collect();
        let place = |before: &Vec<u32>| u32::try_from(before.len()).unwrap_or(u32::MAX);
        let places = before.iter().map(place).collect();
        cache.seen = Some(Arc::new(Seen { states: states.collect(), before }));
        let rows = cache.rows(sequences.len())?;
        for (sequence, row) in sequences.iter_mut().zip(rows) {
            sequence.rows.push(row);
        }
        let tokens: Vec<u32> = sequences.iter().filter_map(|s| s.tokens.last().copied()).collect();
        let lanes = Arc::new(Lanes::new(vec![1; tokens.len()]));
        let input = Input { places: Some(places), ..Input::new(tokens.into(), lanes) };
        model.last_hidden_reading(&input, None, Some(cache))
    }
}

impl Frozen {
    /// Whether what it reads of `input` is of use when it goes on from there.
    fn keeps_what_it_reads(&self, input: &Input) -> Result<bool> {
        let shape = self.body.shape;
        let kept =
            shape.causal && shape.style.kind == BlockKind::Transformer && !shape.style.intervals;
        Ok(kept && self.prompted(&self.body, input)?.is_none())
    }
}
