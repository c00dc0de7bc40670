//! Pairwise ranking of the next item.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::fused::SampledKind;
use tastemaker_nn::transformer::Sides;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Pairwise ranking of the next item above sampled negatives.
///
/// # Formula
/// −Σ log σ(s⁺ − sᵢ) / n, averaged over places, with s⁺ the score of the next item and sᵢ those of
/// n uniform negatives.
///
/// # When not to use it
/// With one negative it learns slowly; `softmax` ranks better where the catalog is affordable.
///
/// # References
/// Rendle et al. 2009, *BPR: Bayesian personalized ranking from implicit feedback*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bpr {
    /// Negatives a place.
    pub negatives: usize,
}

impl Default for Bpr {
    fn default() -> Self {
        Self { negatives: 1 }
    }
}

impl Objective for Bpr {
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
        next_item::sampled_loss(SampledKind::Pairwise, self.negatives, asked, rng)
    }
}
