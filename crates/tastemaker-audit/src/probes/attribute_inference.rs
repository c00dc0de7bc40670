//! Whether lists tell a sensitive attribute of those who see them.

use rand::seq::SliceRandom;
use tastemaker_core::{ItemId, SeedTree};

use super::membership::auc;

/// Steps of gradient descent.
const STEPS: usize = 200;

/// How much large weights cost.
const DECAY: f64 = 1e-3;

/// What was guessed of one user, by a model that has not learnt from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The group that the user is in.
    pub truth: usize,
    /// How probable each group is.
    pub probabilities: Vec<f64>,
    /// The largest group of those that the model has learnt from.
    pub majority: usize,
}

impl Guess {
    /// 1 where the guess is right, minus 1 where the majority would have been.
    pub fn advantage(&self) -> f64 {
        let p = &self.probabilities;
        let best = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]).then(b.cmp(&a)));
        let right = |group| f64::from(u8::from(group == self.truth));
        right(best.unwrap_or_default()) - right(self.majority)
    }
}

/// Guesses the group of each user, one of `n_groups`, from its list: `folds` times, each time learnt from
/// the users of all other folds, which are drawn from `seeds`.
///
/// # How
/// Multinomial logistic regression over the items of a list, each 1 / √(items in the list), and a
/// constant; 200 steps of gradient descent of length 1 with a weight decay of 0.001, from zero.
pub fn guesses(
    lists: &[&[ItemId]],
    groups: &[usize],
    n_groups: usize,
    folds: usize,
    seeds: &SeedTree,
) -> Vec<Guess> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.shuffle(&mut seeds.rng());
    let mut fold = vec![0; lists.len()];
    for (place, &user) in order.iter().enumerate() {
        fold[user] = place % folds.max(2);
    }
    let n_items = lists.iter().flat_map(|list| list.iter()).map(|item| item.index() + 1).max();
    let rows = n_items.unwrap_or_default() + 1;
    let mut guesses: Vec<Option<Guess>> = vec![None; lists.len()];
    for own in 0..folds.max(2) {
        let learn: Vec<usize> = (0..lists.len()).filter(|&user| fold[user] != own).collect();
        let weights = learn_weights(lists, groups, &learn, (rows, n_groups));
        let count = |group: &usize| learn.iter().filter(|&&user| groups[user] == *group).count();
        let majority = (0..n_groups).rev().max_by_key(count).unwrap_or_default();
        for user in (0..lists.len()).filter(|&user| fold[user] == own) {
            let probabilities = probabilities(lists[user], &weights, n_groups);
            guesses[user] = Some(Guess { truth: groups[user], probabilities, majority });
        }
    }
    guesses.into_iter().flatten().collect()
}

/// The constant stands in the first row, item i in row i + 1.
fn learn_weights(
    lists: &[&[ItemId]],
    groups: &[usize],
    learn: &[usize],
    (rows, n_groups): (usize, usize),
) -> Vec<f64> {
    let mut weights = vec![0.0; rows * n_groups];
    let mut gradient = vec![0.0; rows * n_groups];
    for _ in 0..STEPS {
        gradient.fill(0.0);
        for &user in learn {
            let mut off = probabilities(lists[user], &weights, n_groups);
            off[groups[user]] -= 1.0;
            for (row, share) in features(lists[user]) {
                for (gradient, off) in gradient[row * n_groups..].iter_mut().zip(&off) {
                    *gradient += share * off / learn.len() as f64;
                }
            }
        }
        for (weight, gradient) in weights.iter_mut().zip(&gradient) {
            *weight -= gradient + DECAY * *weight;
        }
    }
    weights
}

fn features(list: &[ItemId]) -> impl Iterator<Item = (usize, f64)> + '_ {
    let share = 1.0 / (list.len().max(1) as f64).sqrt();
    std::iter::once((0, 1.0)).chain(list.iter().map(move |item| (item.index() + 1, share)))
}

fn probabilities(list: &[ItemId], weights: &[f64], n_groups: usize) -> Vec<f64> {
    let mut logits = vec![0.0; n_groups];
    for (row, share) in features(list) {
        for (logit, weight) in logits.iter_mut().zip(&weights[row * n_groups..]) {
            *logit += share * weight;
        }
    }
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| (logit - most).exp() / sum).collect()
}

/// How well the groups of the users in `sample` are told apart.
///
/// # Formula
/// The mean over the groups that are in the sample of the AUC of a group's probability, its members against
/// all others. 0.5 is chance, 1 tells all apart. Not a number of one group.
///
/// # References
/// Provost and Domingos 2000, unweighted; `roc_auc_score(multi_class="ovr", average="macro")` of
/// scikit-learn.
pub fn mean_auc(guesses: &[Guess], n_groups: usize, sample: &[usize]) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for group in 0..n_groups {
        let score = |user: &usize| guesses[*user].probabilities[group];
        let (own, others): (Vec<usize>, Vec<usize>) =
            sample.iter().partition(|&&user| guesses[user].truth == group);
        if !own.is_empty() && !others.is_empty() {
            let scores = |users: &[usize]| users.iter().map(score).collect::<Vec<_>>();
            sum += auc(&scores(&own), &scores(&others));
            n += 1.0;
        }
    }
    sum / n
}
