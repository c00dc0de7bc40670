//! Softmax over the next item and sampled negatives.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::fused::SampledKind;
use tastemaker_nn::transformer::Sides;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Softmax cross-entropy over the next item and sampled negatives.
///
/// # Formula
/// −log( e^s⁺ / (e^s⁺ + Σ e^sᵢ) ), averaged over places, with s⁺ the score of the next item and
/// sᵢ those of n uniform negatives. (Uniform negatives need no correction: it would be the same
/// for all of them.)
///
/// # When not to use it
/// Where the whole catalog is affordable, which up to some ten thousand items it is.
///
/// # References
/// Klenitskiy and Vasilev 2023, *Turning dross into gold loss*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SampledSoftmax {
    /// Negatives a place.
    pub negatives: usize,
}

impl Default for SampledSoftmax {
    fn default() -> Self {
        Self { negatives: 256 }
    }
}

impl Objective for SampledSoftmax {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn suits_encoder_decoder(&self) -> bool {
        true
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        next_item::check_negatives(self.negatives)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        next_item::ask(window.items, facts, rng, batch);
    }

    fn loss(&self, asked: &Asked<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let kind = SampledKind::Softmax;
        next_item::sampled_loss(kind, self.negatives, asked, rng)
    }
}
