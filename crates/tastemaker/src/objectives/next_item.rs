//! What the objectives that foretell the next item share.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::{Error, ItemId};
use tastemaker_nn::fused::SampledKind;

use super::pieces::with_negatives;
use crate::Result;
use crate::train::{Asked, BatchBuilder};

/// Every item but the last is looked at; at each place the next item is asked for.
pub(super) fn ask(items: &[ItemId], batch: &mut BatchBuilder) {
    let next = items.iter().skip(1).enumerate().map(|(place, next)| (place, *next));
    batch.push(items[..items.len() - 1].iter().map(|item| item.0), next);
}

/// The loss of the targets against `negatives` items each.
pub(super) fn sampled_loss(
    kind: SampledKind,
    negatives: usize,
    asked: &Asked<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<Tensor> {
    let classes = with_negatives(&asked.batch.targets, (negatives, asked.batch.n_items), rng);
    Ok(asked.table().sampled(kind, &asked.hidden()?, classes)?)
}

/// Softmax cross-entropy of the targets over the whole catalog.
pub(super) fn softmax(asked: &Asked<'_>) -> Result<Tensor> {
    let batch = asked.batch;
    let (targets, n_items) = (batch.targets.clone(), batch.n_items as usize);
    Ok(asked.table().softmax(&asked.hidden()?, targets, n_items)?)
}

/// The number of negatives can be used.
pub(super) fn check_negatives(negatives: usize) -> tastemaker_core::Result<()> {
    if (1..=10_000).contains(&negatives) {
        return Ok(());
    }
    Err(Error::setting("negatives", negatives, "a number from 1 to 10000"))
}
