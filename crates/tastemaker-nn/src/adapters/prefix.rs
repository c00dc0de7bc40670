//! Vectors before every sequence, anew at every block.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::vectors::{prompt_parameters, prompt_vectors};
use super::{Adapter, Added, Own, check_prompt};
use crate::Result;
use crate::backbones::Shape;
use crate::parameters::Group;

/// Vectors that learn, before every sequence, anew at every block: what a block made of them is
/// replaced before the next one. Their keys and values are what the block's own matrices make of
/// them.
///
/// # References
/// Li and Liang 2021, *Prefix-tuning*, and Liu et al. 2022, *P-tuning v2*, whose vectors are keys
/// and values; in the form of states Jia et al. 2022, *Visual prompt tuning* (its "deep" form).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Prefix {
    /// How many at a block.
    pub tokens: usize,
    /// Width of a network that makes the vectors; 0 for vectors of their own.
    pub inner_size: usize,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { tokens: 4, inner_size: 0 }
    }
}

impl Adapter for Prefix {
    fn group(&self) -> Group {
        Group::Prompt
    }

    fn check(&self, shape: Shape) -> Result<()> {
        check_prompt(shape, self.tokens)
    }

    fn parameters(&self, shape: Shape, _values: usize) -> Vec<Added> {
        // Before what an encoder reads, where there is one.
        let layers = if shape.has_encoder() { shape.encoder_layers } else { shape.layers };
        let n = self.tokens * layers;
        prompt_parameters(n, shape.embedding_size, self.inner_size)
    }

    fn prompt_length(&self) -> usize {
        self.tokens
    }

    fn prompt(&self, own: Own<'_>, layer: usize) -> Result<Option<Tensor>> {
        let all = prompt_vectors(own, self.inner_size)?;
        Ok(Some(all.narrow(0, layer * self.tokens, self.tokens)?))
    }
}
