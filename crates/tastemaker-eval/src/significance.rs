//! Whether two recommenders differ, user by user.

use rand::distr::Distribution;
use rand::{Rng, RngCore};
use rand_distr::Binomial;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use tastemaker_core::SeedTree;

/// Users up to which Wilcoxon's test is exact.
const EXACT: usize = 25;

/// How two recommenders differ in a metric over the same users.
///
/// # Formula
/// With dᵤ = aᵤ − bᵤ, d̄ their mean and s their standard deviation (n − 1):
///
/// * `interval`: the percentiles 2.5 and 97.5 of the mean over bootstrap samples of users;
/// * `randomisation`: (1 + r) / (1 + R), where in r of R random assignments of signs to the dᵤ their
///   mean is at least as far from 0;
/// * `t`: twice the tail of Student's t with n − 1 degrees of freedom above |d̄| √n / s;
/// * `wilcoxon`: of the signed ranks of the dᵤ ≠ 0, exact for up to 25 users who all differ, and by
///   different numbers; else by the normal distribution with its correction for ties and none for
///   continuity;
/// * `cohens_d`: d̄ / s; `dominance`: the share of users with dᵤ > 0 minus that with dᵤ < 0.
///
/// p-values are two-sided, and 1 where no user differs. Each user counts alike, whatever the metric's
/// own mean weighs.
///
/// # References
/// `ttest_rel`, `wilcoxon`, `permutation_test` and `bootstrap` of scipy.stats; Smucker, Allan and
/// Carterette 2007 for randomisation in retrieval; Cohen 1988; Cliff 1993.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// Users.
    pub n_users: usize,
    /// The mean of a − b.
    pub difference: f64,
    /// Its 95 % interval over users.
    pub interval: [f64; 2],
    /// p of the randomisation test.
    pub randomisation: f64,
    /// p of the paired t-test.
    pub t: f64,
    /// p of Wilcoxon's signed-rank test.
    pub wilcoxon: f64,
    /// The difference in standard deviations of the users' differences.
    pub cohens_d: f64,
    /// Users who are better off minus those who are worse off, as a share.
    pub dominance: f64,
}

impl Comparison {
    /// Compares the values of the same users, with as many bootstrap samples, and random signs, as
    /// `resamples` says; `None` of fewer than two users.
    ///
    /// # Panics
    /// If there are not as many of each.
    pub fn new(a: &[f64], b: &[f64], resamples: usize, seeds: &SeedTree) -> Option<Self> {
        assert_eq!(a.len(), b.len(), "the same users");
        let n = a.len();
        if n < 2 {
            return None;
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let mean = mean(&differences);
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let deviation = (squares / (n - 1) as f64).sqrt();
        let share =
            |of: fn(&f64) -> bool| differences.iter().filter(|d| of(d)).count() as f64 / n as f64;
        let varies = deviation > 0.0;
        Some(Self {
            n_users: n,
            difference: mean,
            interval: interval(&differences, resamples, &seeds.child("bootstrap")),
            randomisation: randomisation(&differences, resamples, &seeds.child("signs")),
            t: t_test(mean, deviation, n),
            wilcoxon: wilcoxon(&differences),
            cohens_d: if varies { mean / deviation } else { 0.0 },
            dominance: share(|d| *d > 0.0) - share(|d| *d < 0.0),
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The percentiles 2.5 and 97.5 of the mean over bootstrap samples of `values`; not numbers of none.
pub fn interval(values: &[f64], resamples: usize, seeds: &SeedTree) -> [f64; 2] {
    let (n, mut rng) = (values.len(), seeds.rng());
    let other = differing(values);
    // Most differences are 0. How often a sample of n draws another is binomial, and those draws are among
    // the others alike.
    let Ok(draws) = Binomial::new(n as u64, other.len() as f64 / n as f64) else {
        return [f64::NAN; 2];
    };
    let mut sample = || -> f64 {
        let draws = draws.sample(&mut rng);
        (0..draws).map(|_| other[rng.random_range(0..other.len())]).sum::<f64>() / n as f64
    };
    let mut means: Vec<f64> = (0..resamples.max(1)).map(|_| sample()).collect();
    means.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| percentile(&means, share))
}

/// Those that are not 0.
fn differing(differences: &[f64]) -> Vec<f64> {
    differences.iter().copied().filter(|d| *d != 0.0).collect()
}

/// The mean of those of `values` that are in a bootstrap sample.
pub fn mean_of(sample: &[usize], values: &[f64]) -> f64 {
    sample.iter().map(|&at| values[at]).sum::<f64>() / sample.len() as f64
}

/// A statistic of bootstrap samples of the numbers below `n`, ascending; without those of samples in which
/// it is no finite number.
pub fn bootstrap(
    n: usize,
    resamples: usize,
    seeds: &SeedTree,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> Vec<f64> {
    let (mut rng, mut sample) = (seeds.rng(), vec![0; n]);
    let mut found = Vec::with_capacity(resamples);
    for _ in 0..resamples.max(1) {
        sample.fill_with(|| rng.random_range(0..n));
        found.push(statistic(&sample));
    }
    found.retain(|value| value.is_finite());
    found.sort_by(f64::total_cmp);
    found
}

/// The 95 % interval of a statistic around its `value`, as wide as it spreads over bootstrap samples, and
/// wider where it was chosen from several `comparisons`.
///
/// # Formula
/// `value` ± z s with s the standard deviation (n − 1) of the `draws` and z as [`deviations`] has it. It is
/// for statistics whose percentiles over samples are beside their value, since a sample has some users
/// twice: how unequal things are, or the largest of differences.
pub fn around(value: f64, draws: &[f64], comparisons: usize) -> [f64; 2] {
    let mean = mean(draws);
    let squares: f64 = draws.iter().map(|draw| (draw - mean).powi(2)).sum();
    let width = deviations(comparisons) * (squares / (draws.len() as f64 - 1.0)).sqrt();
    [value - width, value + width]
}

/// How many standard deviations a 95 % interval goes to each side where it must hold for as many
/// `comparisons` at once: the quantile 1 − 0.025 / comparisons of the normal distribution (Bonferroni).
pub fn deviations(comparisons: usize) -> f64 {
    Normal::standard().inverse_cdf(1.0 - 0.025 / comparisons.max(1) as f64)
}

/// By how much an interval of bootstrap samples of `n` users is widened about its value: what few users
/// spread among themselves is less than what all do that they were drawn from.
///
/// # Formula
/// `t √(n / (n − 1)) / z`, with t and z the quantiles 1 − 0.025 / `comparisons` of Student's t with n − 1
/// degrees of freedom and of the normal distribution: for one comparison 9.2 of two users, 1.2 of 12, 1.001 of
/// 1,000. Of one user it is infinite.
///
/// # References
/// Hesterberg 2015, *What Teachers Should Know About the Bootstrap*, section 5.3 (narrowness bias).
pub fn widening(n: usize, comparisons: usize) -> f64 {
    if n < 2 {
        return f64::INFINITY;
    }
    let free = n as f64 - 1.0;
    let widened = student(free, comparisons) * (n as f64 / free).sqrt() / deviations(comparisons);
    // Of millions the quantile is found less exactly than it differs from the normal one.
    widened.max(1.0)
}

/// As [`deviations`], by Student's t with as many degrees of freedom as are `free`.
pub fn student(free: f64, comparisons: usize) -> f64 {
    let student = StudentsT::new(0.0, 1.0, free);
    let at = 1.0 - 0.025 / comparisons.max(1) as f64;
    student.map_or(f64::INFINITY, |student| student.inverse_cdf(at))
}

/// How many of all may be otherwise, at most, where none of `n` is: 1 − 0.05^(1/n), about 3 / n.
///
/// # References
/// Hanley and Lippman-Hand 1983 (the rule of three).
pub fn unseen(n: usize) -> f64 {
    1.0 - 0.05_f64.powf(1.0 / n as f64)
}

/// Between the two values around it, as numpy's.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the list")]
fn percentile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * at.fract()
}

fn randomisation(differences: &[f64], resamples: usize, seeds: &SeedTree) -> f64 {
    let observed = differences.iter().sum::<f64>().abs();
    // What differs in rounding alone is as far.
    let least = observed * (1.0 - 1e-12);
    let (mut rng, other) = (seeds.rng(), differing(differences));
    let mut far = 0;
    for _ in 0..resamples {
        let mut sum = 0.0;
        for differences in other.chunks(64) {
            let mut signs = rng.next_u64();
            for d in differences {
                sum += if signs & 1 == 1 { *d } else { -d };
                signs >>= 1;
            }
        }
        far += usize::from(sum.abs() >= least);
    }
    (1 + far) as f64 / (1 + resamples) as f64
}

fn t_test(mean: f64, deviation: f64, n: usize) -> f64 {
    if deviation == 0.0 {
        return if mean == 0.0 { 1.0 } else { 0.0 };
    }
    let t = mean.abs() * (n as f64).sqrt() / deviation;
    let student = StudentsT::new(0.0, 1.0, (n - 1) as f64);
    student.map_or(f64::NAN, |student| 2.0 * student.sf(t))
}

fn wilcoxon(differences: &[f64]) -> f64 {
    let mut sizes: Vec<(f64, bool)> =
        differences.iter().filter(|d| **d != 0.0).map(|d| (d.abs(), *d > 0.0)).collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = sizes.len();
    if n == 0 {
        return 1.0;
    }
    let (mut positive, mut ties, mut first) = (0.0, 0.0, 0);
    for alike in sizes.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let count = alike.len() as f64;
        let rank = first as f64 + f64::midpoint(count, 1.0);
        positive += rank * alike.iter().filter(|(_, positive)| *positive).count() as f64;
        ties += count.powi(3) - count;
        first += alike.len();
    }
    let total = (n * (n + 1)) as f64 / 2.0;
    if n <= EXACT && ties == 0.0 && n == differences.len() {
        return exact(n, positive.min(total - positive));
    }
    let variance = total * (2 * n + 1) as f64 / 12.0 - ties / 48.0;
    let z = (positive - total / 2.0).abs() / variance.sqrt();
    2.0 * Normal::standard().sf(z)
}

/// Twice the probability that of the ranks 1 to n, each positive with probability 1/2, the positive ones
/// add up to `sum` or less.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks are whole")]
fn exact(n: usize, sum: f64) -> f64 {
    let most = n * (n + 1) / 2;
    // How many sets of ranks there are of each sum.
    let mut sets = vec![0.0_f64; most + 1];
    sets[0] = 1.0;
    for rank in 1..=n {
        for sum in (rank..=most).rev() {
            sets[sum] += sets[sum - rank];
        }
    }
    let all = 2.0_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    (2.0 * sets[..=sum as usize].iter().sum::<f64>() / all).min(1.0)
}

/// p-values of a family of tests, corrected so that the chance of any false finding is kept (Holm
/// 1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (i, &at) in order.iter().enumerate() {
        largest = largest.max((p.len() - i) as f64 * p[at]).min(1.0);
        corrected[at] = largest;
    }
    corrected
}

/// p-values of a family of tests, corrected so that the expected share of false ones among the findings
/// is kept (Benjamini and Hochberg 1995).
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut corrected = vec![0.0; p.len()];
    let mut least = 1.0_f64;
    for (i, &at) in order.iter().enumerate().rev() {
        least = least.min(p.len() as f64 / (i + 1) as f64 * p[at]);
        corrected[at] = least;
    }
    corrected
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}
