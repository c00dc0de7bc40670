//! What the objectives that foretell the next item share.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::{Error, ItemId};
use tastemaker_nn::fused::SampledKind;

use super::pieces::with_negatives;
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts};

/// Every item but the last is looked at; at each place the next item is asked for. Returns the place
/// of the first item that is asked for.
///
/// Where there is an encoder, it reads the items before that place, and the decoder the mask, with
/// which it also begins to recommend, and then the items that it has foretold. Views tell the mask
/// what they tell the last item before it. Items of several tokens are read whole.
pub(super) fn ask(
    items: &[ItemId],
    facts: &Facts<'_>,
    rng: &mut ChaCha8Rng,
    batch: &mut BatchBuilder,
) -> usize {
    let first = if facts.has_encoder {
        let length = facts.item_length;
        items.len() - n_foretold(items.len() / length, rng) * length
    } else {
        1
    };
    let read = items[..items.len() - 1].iter().map(|item| item.0);
    let next = items[first..].iter().copied().enumerate();
    if facts.has_encoder {
        batch.push_encoded(read.clone().take(first));
        batch.begin_at(Some(first - 1));
        batch.push(std::iter::once(batch.mask()).chain(read.skip(first)), next);
    } else {
        batch.push(read, next);
    }
    first
}

/// How many of `n` items, at least two, are left to be foretold after what an encoder has read: 1 to
/// n − 1, about as often k as 1/k. To foretell one item after all others is what recommending asks;
/// to foretell many learns more a pass. Of every order of magnitude there are as many.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to n")]
fn n_foretold(n: usize, rng: &mut ChaCha8Rng) -> usize {
    ((n as f64).powf(rng.random()) as usize).clamp(1, n - 1)
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
pub(crate) fn softmax(asked: &Asked<'_>) -> Result<Tensor> {
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

#[cfg(test)]
mod tests {
    use tastemaker_core::SeedTree;

    use super::*;

    #[test]
    fn one_item_is_foretold_most_often_and_all_but_one_at_times() {
        let mut rng = SeedTree::new(1).rng();
        let mut counts = [0; 51];
        (0..20_000).for_each(|_| counts[n_foretold(50, &mut rng)] += 1);
        assert_eq!((counts[0], counts[50]), (0, 0));
        // log 2 / log 50 and log (50/49) / log 50.
        assert!((3350..3750).contains(&counts[1]), "{counts:?}");
        assert!((60..160).contains(&counts[49]), "{counts:?}");
        assert!((0..100).all(|_| n_foretold(2, &mut rng) == 1));
    }
}
