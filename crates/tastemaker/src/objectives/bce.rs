//! Binary cross-entropy of the next item.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::fused::SampledKind;
use tastemaker_nn::transformer::Sides;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Binary cross-entropy of the next item against sampled negatives.
///
/// # Formula
/// −( log σ(s⁺) + Σ log(1 − σ(sᵢ)) ) / (n + 1), averaged over places, with s⁺ the score of the
/// next item and sᵢ those of n negatives.
///
/// # When not to use it
/// With few negatives it is overconfident and ranks worse than softmax; see `gbce`.
///
/// # References
/// Kang and McAuley 2018, *Self-attentive sequential recommendation* (one negative; the constant
/// 1/(n+1) is ours, so that learning rates carry over between numbers of negatives).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bce {
    /// Negatives a place.
    pub negatives: usize,
}

impl Default for Bce {
    fn default() -> Self {
        Self { negatives: 1 }
    }
}

impl Objective for Bce {
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
        let kind = SampledKind::Binary { beta: 1.0 };
        next_item::sampled_loss(kind, self.negatives, asked, rng)
    }
}
