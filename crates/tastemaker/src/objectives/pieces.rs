//! What several objectives are made of.

use candle_core::{D, Tensor};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::{Error, ItemId, UserId};
use tastemaker_nn::composite::{log_softmax_at, softplus};

use crate::Result;
use crate::train::{BatchBuilder, Facts, Window};

/// Binary cross-entropy of logits, added up: Σ log(1 + eˣ) − y x.
pub(super) fn binary(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(softplus(logits)?.sub(&logits.mul(labels)?)?.sum_all()?)
}

/// Mean over the rows of `queries` [n, width] of −log( e^(q·k⁺/τ) / Σⱼ e^(q·kⱼ/τ) ) over `keys`
/// [m, width], with `right` the number of each row's k⁺; `ignore` says which others are left out.
pub(super) fn contrast(
    (queries, keys): (&Tensor, &Tensor),
    temperature: f64,
    right: &[u32],
    ignore: impl Fn(usize, usize) -> bool,
) -> Result<Tensor> {
    let (n, m) = (queries.dim(0)?, keys.dim(0)?);
    let left_out = |i: usize, j: usize| j != right[i] as usize && ignore(i, j);
    // Nearly −∞, so that the term is gone; a logit of 0 would leave e⁰ in the sum.
    let mask: Vec<f32> =
        (0..n * m).map(|at| if left_out(at / m, at % m) { -1e30 } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (n, m), queries.device())?;
    let logits = ((queries.matmul(&keys.t()?)? / temperature)? + mask)?;
    Ok(log_softmax_at(&logits, right)?.mean_all()?)
}

/// The rows of `x`, each scaled to length 1.
pub(super) fn normalised(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    Ok(x.broadcast_div(&length)?)
}

/// The end of a window that the backbone reads beside `others` tokens; what follows in the batch
/// stands at its places.
pub(super) fn end<'w>(
    window: &Window<'w>,
    (facts, others): (&Facts<'_>, usize),
    batch: &mut BatchBuilder,
) -> &'w [ItemId] {
    let items = facts.last(window.items, others);
    batch.begin_at(Some(window.items.len() - items.len()));
    items
}

/// The tokens of `items`, of which some are hidden by `mask`.
pub(super) fn masked(items: &[ItemId], hidden: &[bool], mask: u32) -> impl Iterator<Item = u32> {
    items.iter().zip(hidden).map(move |(item, hidden)| if *hidden { mask } else { item.0 })
}

/// Adds `items` with some hidden, which are asked for.
pub(super) fn ask_hidden(items: &[ItemId], hidden: &[bool], batch: &mut BatchBuilder) {
    let asked = items.iter().copied().enumerate().filter(|(place, _)| hidden[*place]);
    batch.push(masked(items, hidden, batch.mask()), asked);
}

/// For each target itself and then `n` others, drawn uniformly from the catalog without it. (An
/// item of the user's own history can be drawn.)
pub(super) fn with_negatives(
    targets: &[u32],
    (n, n_items): (usize, u32),
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let mut classes = Vec::with_capacity(targets.len() * (n + 1));
    for &target in targets {
        classes.push(target);
        for _ in 0..n {
            // One of the others: those from the target on are one place further.
            let other = rng.random_range(0..n_items - 1);
            classes.push(other + u32::from(other >= target));
        }
    }
    classes
}

/// For `n` places in a row whether each is hidden: with `probability`, and at least one.
pub(super) fn hidden(n: usize, probability: f64, rng: &mut ChaCha8Rng) -> Vec<bool> {
    let mut hidden: Vec<bool> = (0..n).map(|_| rng.random_bool(probability)).collect();
    if !hidden.contains(&true) {
        hidden[rng.random_range(0..n)] = true;
    }
    hidden
}

/// A stretch of `n` items that another user than `user` met, less if none has met so many.
pub(super) fn stretch_of_another(
    (user, n): (UserId, usize),
    facts: &Facts<'_>,
    rng: &mut ChaCha8Rng,
) -> Vec<ItemId> {
    /// Users looked at for a stretch that is long enough.
    const TRIES: usize = 20;
    let mut best: &[ItemId] = &[];
    let users = u32::try_from(facts.n_users()).expect("users are numbered in 32 bits");
    for _ in 0..TRIES {
        let other = UserId(rng.random_range(0..users));
        let items = if other == user { &[] } else { facts.train(other) };
        if items.len() > best.len() {
            best = items;
        }
        if best.len() >= n {
            break;
        }
    }
    let n = n.min(best.len());
    let start = rng.random_range(0..=best.len() - n);
    best[start..start + n].to_vec()
}

/// `items` in another order where that is possible; says whether it is another.
pub(super) fn shuffled(items: &[ItemId], rng: &mut ChaCha8Rng) -> (Vec<ItemId>, bool) {
    let mut other = items.to_vec();
    other.shuffle(rng);
    let changed = other != items;
    (other, changed)
}

/// `share`, under this name, is one.
pub(super) fn check_share(name: &str, share: f64) -> tastemaker_core::Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::setting(name, share, "a number from 0 to 1"))
}

/// `value`, under this name, is above 0.
pub(super) fn check_positive(name: &str, value: f64) -> tastemaker_core::Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::setting(name, value, "a number above 0"))
}

/// `weight`, under this name, is not below 0.
pub(super) fn check_weight(name: &str, weight: f64) -> tastemaker_core::Result<()> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    Err(Error::setting(name, weight, "0 or a number above it"))
}
