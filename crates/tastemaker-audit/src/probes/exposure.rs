//! What is shown, and how it is spread.

use tastemaker_core::ItemId;

/// How often each of `n_items` items stands in `lists`.
pub fn counts<'a>(lists: impl IntoIterator<Item = &'a [ItemId]>, n_items: usize) -> Vec<u32> {
    let mut counts = vec![0; n_items];
    for item in lists.into_iter().flatten() {
        counts[item.index()] += 1;
    }
    counts
}

/// How concentrated exposure is: the Herfindahl–Hirschman index.
///
/// # Formula
/// Σ sᵢ², with sᵢ the share of all places that an item, or a provider, has. From 1/n (all of n are equal)
/// to 1 (one has all); smaller is more equal. Not a number where nothing is shown.
///
/// # References
/// Hirschman 1945; Herfindahl 1950. Markets are often counted as concentrated from 0.25 (US Department of
/// Justice 2010) or from 0.18 on (2023).
pub fn herfindahl(exposure: &[u32]) -> f64 {
    let total: f64 = exposure.iter().map(|&times| f64::from(times)).sum();
    exposure.iter().map(|&times| (f64::from(times) / total).powi(2)).sum()
}

/// What each group of items had and could have had, of one user.
pub type Chances<const N: usize> = [(f64, f64); N];

/// How unequal groups' chances are: RSP where chances are of all items that were not met before, REO where
/// they are of the targets among them.
///
/// # Formula
/// With P(g) = Σᵤ recommended items of g / Σᵤ items of g that could have been recommended: the standard
/// deviation of P over the groups (of the population) divided by their mean. From 0 (equal) on; for two
/// groups up to 1. Not a number where a group has no chance, or nothing of any is recommended.
///
/// # References
/// Zhu, Wang and Caverlee 2020, *Measuring and Mitigating Item Under-Recommendation Bias*; `PopRSP` and
/// `PopREO` of Elliot for the groups of popular and of long-tail items.
pub fn deviation_of_chances<const N: usize>(users: &[Chances<N>], sample: &[usize]) -> f64 {
    let mut sums = [(0.0, 0.0); N];
    for &user in sample {
        for (sum, own) in sums.iter_mut().zip(&users[user]) {
            *sum = (sum.0 + own.0, sum.1 + own.1);
        }
    }
    let shares = sums.map(|(had, could)| had / could);
    let mean = shares.iter().sum::<f64>() / N as f64;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / N as f64;
    variance.sqrt() / mean
}

/// How far two spreads of the same things are from each other: total variation.
///
/// # Formula
/// ½ Σ |pᵢ − qᵢ| of the shares p and q. From 0 (the same) to 1 (nothing in common). Not a number where
/// one has nothing.
pub fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    let (all_p, all_q): (f64, f64) = (p.iter().sum(), q.iter().sum());
    p.iter().zip(q).map(|(p, q)| (p / all_p - q / all_q).abs()).sum::<f64>() / 2.0
}
