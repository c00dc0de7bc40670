//! What a model is asked to learn from a sequence.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::{ItemId, registry};
use tastemaker_nn::transformer::Table;

use crate::Result;
use crate::train::{Batch, BatchBuilder};

mod bce;
mod gbce;
mod masked_items;
mod next_item;
mod sampled_softmax;
mod softmax;

pub use bce::Bce;
pub use gbce::Gbce;
pub use masked_items::MaskedItems;
pub use sampled_softmax::SampledSoftmax;
pub use softmax::Softmax;

/// Turns sequences into questions, and a model's answers into a loss.
pub trait Objective: Sync {
    /// Whether items are hidden, so that the model must see both sides and knows one more token,
    /// the mask, after the items.
    fn masks_items(&self) -> bool;

    /// Whether every number of the settings can be used.
    fn check(&self) -> tastemaker_core::Result<()>;

    /// Puts a user's items, oldest first, into a batch.
    fn ask(&self, items: &[ItemId], rng: &mut ChaCha8Rng, batch: &mut BatchBuilder);

    /// The batch's mean loss, of what the model found at the asked places, `hidden`
    /// [targets, width], and the embedding `table` [vocabulary, width].
    fn loss(
        &self,
        hidden: &Tensor,
        table: Table<'_>,
        batch: &Batch,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor>;
}

registry! {
    /// Every objective a study can name.
    pub enum AnyObjective: Objective {
        /// Next item, binary cross-entropy against sampled negatives (SASRec).
        "bce" => Bce(Bce),
        /// Next item, binary cross-entropy corrected for its sampling (gSASRec).
        "gbce" => Gbce(Gbce),
        /// Hidden items from both sides, softmax over the whole catalog (BERT4Rec).
        "masked-items" => MaskedItems(MaskedItems),
        /// Next item, softmax over the target and sampled negatives.
        "sampled-softmax" => SampledSoftmax(SampledSoftmax),
        /// Next item, softmax over the whole catalog.
        "softmax" => Softmax(Softmax),
    }
}
