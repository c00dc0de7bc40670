//! Hidden items, all at once and block by block in one pass.

use candle_core::Tensor;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::{Error, ItemId};
use tastemaker_nn::transformer::Sides;

use super::pieces::{check_share, end, hidden};
use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Hidden items foretold twice in one pass: each from what is not hidden (autoencoding), and block
/// by block from what is not hidden and the blocks before (partially autoregressive).
///
/// # What it does
/// Hidden places, in stretches, are put in a random order of blocks. After the sequence with its
/// masks stand, for each hidden place and at the same place, a pseudo-mask and the item itself. An
/// item itself is seen by what is asked in later blocks; a pseudo-mask by its own block.
///
/// # Formula
/// −Σₘ log p(xₘ | x not hidden) − Σᵢ Σₘ∈Mᵢ log p(xₘ | x not in Mⱼ, j ≥ i), averaged over all that is
/// asked, with M₁ … the blocks.
///
/// # When not to use it
/// Its sequences are longer by twice the number of hidden items.
///
/// # References
/// Bao et al. 2020, *`UniLMv2`: pseudo-masked language models for unified language model
/// pre-training*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PseudoMaskedItems {
    /// The share of places that are hidden.
    pub probability: f64,
    /// The most items of a block; a block is a stretch.
    pub block: usize,
    /// The share of sequences in which the last item alone is hidden, as recommending asks.
    pub last_only: f64,
}

impl Default for PseudoMaskedItems {
    fn default() -> Self {
        Self { probability: 0.3, block: 3, last_only: 0.2 }
    }
}

/// What a token of the longer sequence is.
#[derive(Clone, Copy)]
enum Kind {
    /// An item that is not hidden, or the mask of one that is.
    Context,
    /// The item itself, of this block.
    Item(usize),
    /// The pseudo-mask of an item of this block.
    Asks(usize),
}

impl Kind {
    fn sees(self, other: Self, other_is_mask: bool) -> bool {
        match (self, other) {
            (Self::Context, Self::Context) => true,
            (_, Self::Context) => !other_is_mask,
            (Self::Item(block), Self::Item(before)) => before <= block,
            (Self::Asks(block), Self::Item(before)) => before < block,
            (Self::Asks(block), Self::Asks(other)) => other == block,
            (Self::Context, _) | (Self::Item(_), Self::Asks(_)) => false,
        }
    }
}

impl PseudoMaskedItems {
    /// The hidden places in blocks, in the order in which they are foretold.
    fn blocks(&self, n: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        if rng.random_bool(self.last_only) {
            return vec![vec![n - 1]];
        }
        let hidden = hidden(n, self.probability, rng);
        let mut blocks: Vec<Vec<usize>> = Vec::new();
        for place in (0..n).filter(|&place| hidden[place]) {
            match blocks.last_mut() {
                Some(block)
                    if block.len() < self.block
                        && block.last() == Some(&(place.wrapping_sub(1))) =>
                {
                    block.push(place);
                }
                _ => blocks.push(vec![place]),
            }
        }
        blocks.shuffle(rng);
        blocks
    }
}

impl Objective for PseudoMaskedItems {
    fn sides(&self) -> Sides {
        Sides::Both
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_share("probability", self.probability)?;
        check_share("last-only", self.last_only)?;
        if self.block == 0 {
            return Err(Error::setting("block", 0, "1 or more"));
        }
        Ok(())
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let items = end(window, (facts, 0), batch);
        let (mask, pseudo) = (batch.mask(), batch.pseudo_mask());
        let place = |place: usize| u32::try_from(place).expect("sequences are short");
        let mut tokens: Vec<(u32, u32)> =
            items.iter().enumerate().map(|(at, item)| (item.0, place(at))).collect();
        let mut kinds = vec![Kind::Context; items.len()];
        let mut asked: Vec<(usize, ItemId)> = Vec::new();
        for (block, places) in self.blocks(items.len(), rng).into_iter().enumerate() {
            for at in places {
                tokens[at].0 = mask;
                asked.push((at, items[at]));
                asked.push((tokens.len(), items[at]));
                tokens.extend([(pseudo, place(at)), (items[at].0, place(at))]);
                kinds.extend([Kind::Asks(block), Kind::Item(block)]);
            }
        }
        let masks: Vec<bool> = tokens.iter().map(|(token, _)| *token == mask).collect();
        let sees = |token: usize, other: usize| kinds[token].sees(kinds[other], masks[other]);
        batch.push_masked(tokens.iter().copied(), sees, asked.into_iter());
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        next_item::softmax(asked)
    }
}
