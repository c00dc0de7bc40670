//! Where the next trial is likely to be good.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

/// Points that are drawn where good trials are dense, of which the best one is taken.
const CANDIDATES: usize = 24;

/// The most trials that count as good.
const MOST_GOOD: usize = 25;

/// The next value, from 0 to 1, of one setting, after `trials` of (value, how good), of a space that has
/// `categories` values without order or goes on without steps.
///
/// # Formula
/// With l the density of the ⌈n/10⌉ best trials, at most 25, and g that of the others, the one of 24
/// draws from l with the largest l/g.
/// A density is a mixture, each with the same weight, of a normal around each trial, cut off at 0 and 1,
/// whose deviation is the larger distance to its neighbours, the ends among them, from 1/min(100, n + 1)
/// to 1, and of one around ½ with deviation 1; of categories it is (count + 1) / (n + categories).
///
/// # References
/// Bergstra et al. 2011 (tree of Parzen estimators; here each setting by itself); the numbers are those of
/// Optuna's `TPESampler`.
pub(super) fn suggest(
    trials: &[(f64, f64)],
    categories: Option<usize>,
    rng: &mut ChaCha8Rng,
) -> f64 {
    let mut order: Vec<&(f64, f64)> = trials.iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (good, others) = order.split_at(trials.len().div_ceil(10).min(MOST_GOOD));
    let density = |of: &[&(f64, f64)]| {
        let values: Vec<f64> = of.iter().map(|(value, _)| *value).collect();
        match categories {
            Some(n) => Density::of_categories(&values, n),
            None => Density::of_numbers(values),
        }
    };
    let (good, others) = (density(good), density(others));
    let draws = (0..CANDIDATES).map(|_| good.draw(rng));
    let rated = draws.map(|value| (value, good.log(value) - others.log(value)));
    rated.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(0.5, |best| best.0)
}

/// How dense trials are.
enum Density {
    /// Means and deviations of normals between 0 and 1.
    Numbers(Vec<(f64, f64)>),
    /// The probability of each category.
    Categories(Vec<f64>),
}

impl Density {
    fn of_numbers(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let least = 1.0 / 100.0_f64.min((n + 1) as f64);
        let around = |i: usize| {
            let before = if i == 0 { 0.0 } else { values[i - 1] };
            let after = values.get(i + 1).copied().unwrap_or(1.0);
            (values[i], (values[i] - before).max(after - values[i]).clamp(least, 1.0))
        };
        Self::Numbers((0..n).map(around).chain([(0.5, 1.0)]).collect())
    }

    fn of_categories(values: &[f64], n: usize) -> Self {
        let mut counts = vec![1.0; n];
        for value in values {
            counts[category(*value, n)] += 1.0;
        }
        let total = (values.len() + n) as f64;
        Self::Categories(counts.into_iter().map(|count| count / total).collect())
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Numbers(normals) => {
                let (mean, deviation) = normals[rng.random_range(0..normals.len())];
                let [below, above] = ends(mean, deviation);
                let share = below + (above - below) * rng.random::<f64>();
                (mean + deviation * Normal::standard().inverse_cdf(share)).clamp(0.0, 1.0)
            }
            Self::Categories(shares) => {
                let mut left: f64 = rng.random();
                let place = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                (place.unwrap_or(0) as f64 + 0.5) / shares.len() as f64
            }
        }
    }

    fn log(&self, value: f64) -> f64 {
        match self {
            Self::Numbers(normals) => {
                let of = |&(mean, deviation): &(f64, f64)| {
                    let [below, above] = ends(mean, deviation);
                    let z = (value - mean) / deviation;
                    let scale = deviation * (2.0 * std::f64::consts::PI).sqrt() * (above - below);
                    (-0.5 * z * z).exp() / scale
                };
                (normals.iter().map(of).sum::<f64>() / normals.len() as f64).ln()
            }
            Self::Categories(shares) => shares[category(value, shares.len())].ln(),
        }
    }
}

/// How much of a normal stands below 0, and below 1.
fn ends(mean: f64, deviation: f64) -> [f64; 2] {
    let below = |x: f64| Normal::standard().cdf((x - mean) / deviation);
    [below(0.0), below(1.0)]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to n")]
fn category(value: f64, n: usize) -> usize {
    ((value * n as f64) as usize).min(n - 1)
}

#[cfg(test)]
mod tests {
    use tastemaker_core::SeedTree;

    use super::*;

    /// `log` of mixtures of `scipy.stats.truncnorm`, by `tests/golden/make_tpe.py`.
    #[test]
    fn densities_are_those_of_scipy() {
        let golden = include_str!("../../tests/golden/tpe.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let list = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
        };
        for case in golden.as_array().unwrap() {
            let density = Density::of_numbers(list(&case["trials"]));
            for (at, log) in list(&case["at"]).into_iter().zip(list(&case["log"])) {
                assert!((density.log(at) - log).abs() < 1e-9, "{} {log}", density.log(at));
            }
        }
    }

    /// A search that looked nowhere in particular would be as far away as a random one.
    #[test]
    fn it_comes_closer_to_the_best_value_than_chance() {
        let value = |x: f64| -(x - 0.83).powi(2);
        let best = |tpe: bool| -> f64 {
            let of_seed = |seed| {
                let mut rng = SeedTree::new(seed).child("tpe").rng();
                let mut trials: Vec<(f64, f64)> = Vec::new();
                for i in 0..40 {
                    let draw = !tpe || i < 10;
                    let x = if draw { rng.random() } else { suggest(&trials, None, &mut rng) };
                    trials.push((x, value(x)));
                }
                trials[10..].iter().map(|trial| trial.1).sum::<f64>() / 30.0
            };
            (0..20).map(of_seed).sum::<f64>() / 20.0
        };
        let (tpe, random) = (best(true), best(false));
        assert!(tpe > random / 2.0, "{tpe} {random}");
    }

    #[test]
    fn of_categories_it_prefers_the_good_one() {
        let mut rng = SeedTree::new(1).rng();
        let trials: Vec<(f64, f64)> =
            (0..30).map(|i| (f64::from(i % 3) / 3.0 + 0.1, f64::from(i % 3))).collect();
        let third = (0..50).filter(|_| suggest(&trials, Some(3), &mut rng) > 0.67).count();
        assert!(third > 40, "{third}");
    }
}
