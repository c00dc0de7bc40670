//! Softmax over the whole catalog of the next item.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::transformer::Sides;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Softmax cross-entropy of the next item over the whole catalog.
///
/// # Formula
/// −log( e^s⁺ / Σⱼ e^sⱼ ), averaged over places, with s⁺ the score of the next item and sⱼ those of
/// all items.
///
/// # When not to use it
/// Its work grows with the catalog; from some hundred thousand items on, sample.
///
/// # References
/// Klenitskiy and Vasilev 2023, *Turning dross into gold loss: is BERT4Rec really better than
/// SASRec?*
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Softmax {}

impl Objective for Softmax {
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
        Ok(())
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

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        next_item::softmax(asked)
    }
}
