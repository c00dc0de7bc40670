//! Softmax over the whole catalog of the next item.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;
use tastemaker_nn::transformer::Table;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Batch, BatchBuilder};

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
    fn masks_items(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        Ok(())
    }

    fn ask(&self, items: &[ItemId], _rng: &mut ChaCha8Rng, batch: &mut BatchBuilder) {
        next_item::ask(items, batch);
    }

    fn loss(
        &self,
        hidden: &Tensor,
        table: Table<'_>,
        batch: &Batch,
        _rng: &mut ChaCha8Rng,
    ) -> Result<Tensor> {
        Ok(table.softmax(hidden, batch.targets.clone(), batch.n_items as usize)?)
    }
}
