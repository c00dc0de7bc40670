//! Vectors before every sequence.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::vectors::{prompt_parameters, prompt_vectors};
use super::{Adapter, Added, Own, check_count};
use crate::Result;
use crate::backbones::Shape;
use crate::parameters::Group;

/// Vectors that learn, before the embeddings of every sequence. They have no place of their own,
/// so that the items keep those of pre-training.
///
/// # References
/// Lester et al. 2021, *The power of scale for parameter-efficient prompt tuning*; the network
/// that makes the vectors is that of Li and Liang 2021, *Prefix-tuning*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SoftPrompt {
    /// How many.
    pub tokens: usize,
    /// Width of a network that makes the vectors; 0 for vectors of their own.
    pub inner_size: usize,
}

impl Default for SoftPrompt {
    fn default() -> Self {
        Self { tokens: 8, inner_size: 0 }
    }
}

impl Adapter for SoftPrompt {
    fn group(&self) -> Group {
        Group::Prompt
    }

    fn check(&self, _shape: Shape) -> Result<()> {
        check_count("tokens", self.tokens, 1024)
    }

    fn parameters(&self, shape: Shape) -> Vec<Added> {
        prompt_parameters(self.tokens, shape.embedding_size, self.inner_size)
    }

    fn prompt_length(&self) -> usize {
        self.tokens
    }

    fn prompt(&self, own: Own<'_>, layer: usize) -> Result<Option<Tensor>> {
        (layer == 0).then(|| prompt_vectors(own, self.inner_size)).transpose()
    }
}
