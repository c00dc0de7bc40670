//! Generalised binary cross-entropy of the next item.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::fused::SampledKind;
use tastemaker_nn::transformer::Sides;

use super::pieces::check_share;
use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Binary cross-entropy of the next item, corrected for the sampling of negatives.
///
/// # Formula
/// −( β log σ(s⁺) + Σ log(1 − σ(sᵢ)) ) / (n + 1), averaged over places, with
/// β = α (t (1 − 1/α) + 1/α) and α = n / (items − 1): t = 0 is plain `bce`, t = 1 is fully
/// corrected.
///
/// # When not to use it
/// Where the whole catalog is affordable, `softmax` has nothing to correct.
///
/// # References
/// Petrov and Macdonald 2023, *gSASRec: reducing overconfidence in sequential recommendation
/// trained with negative sampling*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gbce {
    /// Negatives a place.
    pub negatives: usize,
    /// The calibration t, from 0 to 1.
    pub calibration: f64,
}

impl Default for Gbce {
    fn default() -> Self {
        Self { negatives: 256, calibration: 0.75 }
    }
}

impl Gbce {
    /// The exponent β over a catalog of `n_items`.
    fn beta(&self, n_items: u32) -> f64 {
        let alpha = self.negatives as f64 / f64::from(n_items.max(2) - 1);
        alpha * (self.calibration * (1.0 - 1.0 / alpha) + 1.0 / alpha)
    }
}

impl Objective for Gbce {
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
        check_share("calibration", self.calibration)?;
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
        #[expect(clippy::cast_possible_truncation, reason = "a loss is f32")]
        let beta = self.beta(asked.batch.n_items) as f32;
        let kind = SampledKind::Binary { beta };
        next_item::sampled_loss(kind, self.negatives, asked, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_is_that_of_the_paper() {
        // α = 256 / 3415: β = α (0.75 (1 − 1/α) + 1/α) = 0.75 α + 0.25.
        let beta = Gbce::default().beta(3416);
        assert!((beta - (0.75 * 256.0 / 3415.0 + 0.25)).abs() < 1e-12);
        let plain = Gbce { calibration: 0.0, ..Gbce::default() };
        assert!((plain.beta(3416) - 1.0).abs() < 1e-12);
    }
}
