//! Vectors before or after every sequence, or within prompts.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::vectors::{prompt_parameters, prompt_vectors};
use super::{Adapter, Added, Own, Place, check_prompt};
use crate::Result;
use crate::backbones::Shape;
use crate::parameters::Group;

/// Vectors that learn, before or after the embeddings of every sequence. They have no place of
/// their own, so that the items keep those of pre-training. Within the prompts of a language model
/// over text they stand for tokens from [`SOFT`] on, and have places as other tokens.
///
/// # References
/// Lester et al. 2021, *The power of scale for parameter-efficient prompt tuning*; the network
/// that makes the vectors is that of Li and Liang 2021, *Prefix-tuning*; within prompts: Zhang and Wang
/// 2023, *Prompt learning for news recommendation* (`Prompt4NR`'s continuous and hybrid templates).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SoftPrompt {
    /// How many; within prompts, as many soft tokens as the template has.
    pub tokens: usize,
    /// Width of a network that makes the vectors; 0 for vectors of their own.
    pub inner_size: usize,
    /// Where they stand: `before`, `after` or `within`.
    #[serde(skip_serializing_if = "Place::is_before")]
    pub place: Place,
}

/// Tokens from this one on are vectors of a soft prompt within, by their numbers.
pub const SOFT: u32 = 1 << 31;

impl Default for SoftPrompt {
    fn default() -> Self {
        Self { tokens: 8, inner_size: 0, place: Place::Before }
    }
}

impl Adapter for SoftPrompt {
    fn group(&self) -> Group {
        Group::Prompt
    }

    fn check(&self, shape: Shape) -> Result<()> {
        check_prompt(shape, self.tokens)
    }

    fn parameters(&self, shape: Shape, _values: usize) -> Vec<Added> {
        prompt_parameters(self.tokens, shape.embedding_size, self.inner_size)
    }

    fn prompt_length(&self) -> usize {
        self.tokens
    }

    fn place(&self) -> Place {
        self.place
    }

    fn prompt(&self, own: Own<'_>, layer: usize) -> Result<Option<Tensor>> {
        (layer == 0).then(|| prompt_vectors(own, self.inner_size)).transpose()
    }
}
