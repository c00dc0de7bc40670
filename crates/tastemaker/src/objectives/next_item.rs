//! What the objectives that foretell the next item share.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::{Error, ItemId};
use tastemaker_nn::fused::SampledKind;

use crate::Result;
use crate::train::{Asked, BatchBuilder};

/// Every item but the last is looked at; at each place the next item is asked for.
pub(super) fn ask(items: &[ItemId], batch: &mut BatchBuilder) {
    let next = items.iter().skip(1).enumerate().map(|(place, next)| (place, *next));
    batch.push(items[..items.len() - 1].iter().map(|item| item.0), next);
}

/// The loss of the targets against `negatives` items each, drawn uniformly from the catalog
/// without the target itself. (An item of the user's own history can be drawn.)
pub(super) fn sampled_loss(
    kind: SampledKind,
    negatives: usize,
    asked: &Asked<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<Tensor> {
    let (batch, n_items) = (asked.batch, asked.batch.n_items);
    let mut classes = Vec::with_capacity(batch.targets.len() * (negatives + 1));
    for &target in &batch.targets {
        classes.push(target);
        for _ in 0..negatives {
            // One of the others: those from the target on are one place further.
            let other = rng.random_range(0..n_items - 1);
            classes.push(other + u32::from(other >= target));
        }
    }
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
    Err(Error::Setting {
        name: "negatives".to_owned(),
        found: negatives.to_string(),
        expected: "a number from 1 to 10000".to_owned(),
    })
}
