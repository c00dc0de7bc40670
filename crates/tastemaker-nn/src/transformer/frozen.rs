//! A model that answers and no longer learns.

use candle_core::{Device, Tensor};

use super::Input;
use crate::adapters::Inserted;
use crate::fused::{
    self, Block, BlockShape, BlockWeights, Dropout, Embedding, Int8Table, Keeper, LayerNorm, Norm,
    Positions, Precision, RmsNorm, View, multiply,
};
use crate::parameters::Parameters;
use crate::{Error, Result};

/// A trained transformer that answers and no longer learns.
#[derive(Debug)]
pub struct Frozen {
    pub(super) shape: BlockShape,
    pub(super) max_length: usize,
    pub(super) table: Vec<f32>,
    pub(super) positions: Vec<f32>,
    pub(super) views: Vec<Vec<f32>>,
    pub(super) blocks: Vec<BlockWeights>,
    pub(super) norm: (Vec<f32>, Vec<f32>),
    pub(super) inserted: Inserted,
    /// Those of the adapters.
    pub(super) parameters: Parameters,
    pub(super) precision: Precision,
    pub(super) int8: Option<Int8Table>,
}

impl Frozen {
    /// Of longer sequences the end is looked at.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Width of a hidden state.
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// Ranks the first `classes` tokens by bounds from eight-bit numbers first and scores in full
    /// those that they leave: the same best, and fewer bytes to read.
    #[must_use]
    pub fn ranking_by_int8(self, classes: usize) -> Self {
        let width = self.shape.width;
        let int8 = Some(Int8Table::new(&self.table[..classes * width], width));
        Self { int8, ..self }
    }

    /// Offers the first `classes` tokens, scored after `hidden` states [keepers, width], at most
    /// [`fused::RANKED_ROWS`] of them, to each state's keeper; on the calling thread.
    pub fn rank<K: Keeper>(&self, hidden: &[f32], classes: usize, keepers: &mut [K]) {
        let width = self.shape.width;
        let table = &self.table[..classes * width];
        match &self.int8 {
            Some(int8) => int8.rank(hidden, table, keepers),
            None => fused::rank(hidden, table, width, keepers),
        }
    }

    /// Scores of the first `classes` tokens after `hidden` states [n, width], written to `scores`
    /// [n, classes]; on the calling thread.
    pub fn score(&self, hidden: &[f32], classes: usize, scores: &mut [f32]) {
        let width = self.shape.width;
        let shape = (hidden.len() / width, classes, width);
        let table = View::rows(&self.table[..classes * width], width).transposed();
        multiply(scores, classes, shape, View::rows(hidden, width), table);
    }

    /// What the model finds at the last token of each sequence of `input`, whose tokens stand where
    /// they are and of which no mask hides any: [sequences, width].
    pub fn last_hidden(&self, input: &Input) -> Result<Vec<f32>> {
        let (width, lanes) = (self.shape.width, &input.lanes);
        let embedding = Embedding::new(input.tokens.clone(), lanes, Dropout::none());
        let nowhere = vec![0.0; width];
        let mut x = match self.shape.style.positions {
            Positions::Learned => embedding.run(&self.table, &self.positions, width)?,
            Positions::Relative | Positions::Rotary => {
                embedding.places(vec![0; lanes.n_tokens()]).run(&self.table, &nowhere, width)?
            }
        };
        for (i, table) in self.views.iter().enumerate() {
            let numbers = super::viewed(&input.views, i, lanes.n_tokens());
            if numbers.len() != lanes.n_tokens() {
                return Err(Error::setting("a view's numbers", numbers.len(), "one a token"));
            }
            for (x, &number) in x.chunks_exact_mut(width).zip(&*numbers) {
                let row = table.chunks_exact(width).nth(number as usize).ok_or_else(|| {
                    Error::setting("a view's number", number, "one that the view has")
                })?;
                x.iter_mut().zip(row).for_each(|(x, row)| *x += row);
            }
        }
        let (x, last) = self.after_blocks(x, input)?;
        let last: Vec<f32> = last
            .into_iter()
            .flat_map(|token| &x[token * width..(token + 1) * width])
            .copied()
            .collect();
        let x = match self.shape.style.norm {
            Norm::Layer => LayerNorm::run(&last, &self.norm.0, &self.norm.1),
            Norm::Rms => RmsNorm::run(&last, &self.norm.0),
        };
        let own = (&self.parameters, self.precision);
        self.as_tensor(x, |x| self.inserted.after_norm(own, x))
    }

    /// The states after the last block, those of prompts among them, and the row at which each
    /// sequence's last token is read.
    fn after_blocks(&self, mut x: Vec<f32>, input: &Input) -> Result<(Vec<f32>, Vec<usize>)> {
        let own = (&self.parameters, self.precision);
        let prompted = self.inserted.prompted(input, self.shape.causal)?;
        let lanes = prompted.as_ref().map_or(&input.lanes, |prompted| &prompted.lanes);
        for (layer, weights) in self.blocks.iter().enumerate() {
            if let Some(prompted) = &prompted {
                x = self.as_tensor(x, |x| self.inserted.prompts(own, prompted, layer, x))?;
            }
            let block = Block::new(self.shape, lanes.clone(), Dropout::none());
            x = block.run(&x, weights, false)?;
            x = self.as_tensor(x, |x| self.inserted.after_block(own, layer, x))?;
        }
        let last = match &prompted {
            Some(prompted) => prompted.last_rows(),
            None => lanes.last_tokens().collect(),
        };
        Ok((x, last))
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
        let (rows, width) = (x.len() / self.shape.width, self.shape.width);
        let x = change(Tensor::from_vec(x, (rows, width), &Device::Cpu)?)?;
        Ok(x.flatten_all()?.to_vec1()?)
    }
}
