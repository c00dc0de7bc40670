//! Hidden items, foretold from both sides.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::transformer::Sides;

use super::pieces::{ask_hidden, check_share, end, hidden};
use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Softmax cross-entropy of hidden items over the whole catalog.
///
/// # What it does
/// Hides items at random, anew in every epoch, at least one a sequence; in a share of the
/// sequences only the last, which is what recommending asks.
///
/// # Formula
/// −log( e^s⁺ / Σⱼ e^sⱼ ), averaged over the hidden places.
///
/// # When not to use it
/// It learns from fewer places an epoch than the next-item objectives, and so needs more epochs.
///
/// # References
/// Sun et al. 2019, *BERT4Rec*; masks that change are RoBERTa's (Liu et al. 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MaskedItems {
    /// The share of places that are hidden.
    pub probability: f64,
    /// The share of sequences in which the last item alone is hidden.
    pub last_only: f64,
}

impl Default for MaskedItems {
    fn default() -> Self {
        Self { probability: 0.3, last_only: 0.2 }
    }
}

impl Objective for MaskedItems {
    fn sides(&self) -> Sides {
        Sides::Both
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_share("probability", self.probability)?;
        check_share("last-only", self.last_only)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let items = end(window, (facts, 0), batch);
        let hidden = if rng.random_bool(self.last_only) {
            (1..=items.len()).map(|place| place == items.len()).collect()
        } else {
            hidden(items.len(), self.probability, rng)
        };
        ask_hidden(items, &hidden, batch);
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        next_item::softmax(asked)
    }
}
