//! Hidden items, foretold from both sides.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::Error;
use tastemaker_nn::transformer::Sides;

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

    fn check(&self) -> tastemaker_core::Result<()> {
        for (name, share) in [("probability", self.probability), ("last-only", self.last_only)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::Setting {
                    name: name.to_owned(),
                    found: share.to_string(),
                    expected: "a number from 0 to 1".to_owned(),
                });
            }
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
        let items = facts.last(window.items, 0);
        batch.begin_at(Some(window.items.len() - items.len()));
        let last = items.len() - 1;
        let mut hidden: Vec<bool> = if rng.random_bool(self.last_only) {
            (0..items.len()).map(|place| place == last).collect()
        } else {
            items.iter().map(|_| rng.random_bool(self.probability)).collect()
        };
        if !hidden.contains(&true) {
            hidden[rng.random_range(0..=last)] = true;
        }
        let mask = batch.mask();
        let tokens =
            items.iter().zip(&hidden).map(|(item, hidden)| if *hidden { mask } else { item.0 });
        let asked = items.iter().enumerate().filter(|(place, _)| hidden[*place]);
        batch.push(tokens, asked.map(|(place, item)| (place, *item)));
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        next_item::softmax(asked)
    }
}
