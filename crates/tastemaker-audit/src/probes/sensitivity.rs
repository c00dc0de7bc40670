//! How lists change with what should not matter, and with what is said to.

use std::cell::LazyCell;

use rand::seq::{IndexedRandom, SliceRandom};
use tastemaker_core::{ItemId, RankedList, RecQuery, Recommender, Result, SeedTree};

use super::agreement::{kendall_tau, rank_biased_overlap};
use super::claims::Known;
use crate::Subject;

/// The persistence of rank-biased overlap: the first 10 have 86 % of the weight.
pub const PERSISTENCE: f64 = 0.9;

/// Among how many candidates a target is put.
const CANDIDATES: usize = 20;

/// Where it is put: the places of `LLMRank`.
pub const PLACES: [usize; 5] = [0, 5, 10, 15, 19];

/// How alike a user's lists are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likeness {
    /// Kendall's τ.
    pub tau: f64,
    /// Rank-biased overlap.
    pub overlap: f64,
}

/// Asks for the order of each user's list with its items told in other orders, `shuffles` times, and
/// compares with the order when they are told as they stand. A value for each user with two items or more,
/// the mean over the shuffles; 1 where their order does not matter.
pub fn to_candidates(
    subject: &Subject<'_>,
    recommender: &dyn Recommender,
    users: &[usize],
    shuffles: usize,
    seeds: &SeedTree,
) -> Result<Vec<Likeness>> {
    let users: Vec<usize> =
        users.iter().copied().filter(|&user| subject.lists[user].items.len() > 1).collect();
    let told = |user: usize| subject.lists[user].items.clone();
    let base = among(subject, recommender, &users, told)?;
    let mut sums = vec![Likeness::default(); users.len()];
    for shuffle in 0..shuffles {
        let other = among(subject, recommender, &users, |user| {
            let mut items = subject.lists[user].items.clone();
            items.shuffle(&mut seeds.index(shuffle as u64).index(user as u64).rng());
            items
        })?;
        for (sum, (base, other)) in sums.iter_mut().zip(base.iter().zip(&other)) {
            sum.tau += kendall_tau(&base.items, &other.items).unwrap_or(1.0) / shuffles as f64;
            sum.overlap +=
                rank_biased_overlap(&base.items, &other.items, PERSISTENCE) / shuffles as f64;
        }
    }
    Ok(sums)
}

fn among(
    subject: &Subject<'_>,
    recommender: &dyn Recommender,
    users: &[usize],
    mut candidates: impl FnMut(usize) -> Vec<ItemId>,
) -> Result<Vec<RankedList>> {
    let candidates: Vec<Vec<ItemId>> = users.iter().map(|&user| candidates(user)).collect();
    let queries: Vec<RecQuery<'_>> = users
        .iter()
        .zip(&candidates)
        .map(|(&user, candidates)| {
            let case = &subject.cases[user];
            RecQuery { user: Some(case.user), history: case.history, candidates: Some(candidates) }
        })
        .collect();
    recommender.recommend(&queries, &subject.options(CANDIDATES.max(subject.scope.k)))
}

/// Rank-biased overlap of each user's list with the one for its history in another order, the mean over
/// `shuffles`. 1 where the order of a history does not matter, which a recommender of sequences need not
/// be.
pub fn to_history(
    subject: &Subject<'_>,
    recommender: &dyn Recommender,
    users: &[usize],
    shuffles: usize,
    seeds: &SeedTree,
) -> Result<Vec<f64>> {
    let mut sums = vec![0.0; users.len()];
    for shuffle in 0..shuffles {
        let seeds = seeds.index(shuffle as u64);
        let mut histories: Vec<Vec<ItemId>> = Vec::with_capacity(users.len());
        for &user in users {
            let mut history = subject.cases[user].history.to_vec();
            history.shuffle(&mut seeds.index(user as u64).rng());
            histories.push(history);
        }
        let queries: Vec<RecQuery<'_>> = users
            .iter()
            .zip(&histories)
            .map(|(&user, history)| subject.query(user, history))
            .collect();
        let lists = recommender.recommend(&queries, &subject.options(subject.scope.k))?;
        for ((sum, list), &user) in sums.iter_mut().zip(&lists).zip(users) {
            let overlap = rank_biased_overlap(&subject.lists[user].items, &list.items, PERSISTENCE);
            *sum += overlap / shuffles as f64;
        }
    }
    Ok(sums)
}

/// For each user, and each of [`PLACES`], 1/log₂(rank + 1) of its first target where it is told at that
/// place among 20 candidates, the others drawn from what it has not met. Users who have met a target
/// before, or nearly everything, are left out.
///
/// # References
/// The position probe of Hou et al. 2024 (`LLMRank`).
pub fn to_place(
    subject: &Subject<'_>,
    recommender: &dyn Recommender,
    users: &[usize],
    seeds: &SeedTree,
) -> Result<Vec<[f64; PLACES.len()]>> {
    let mut asked: Vec<(usize, ItemId, Vec<ItemId>)> = Vec::new();
    for &user in users {
        let case = &subject.cases[user];
        let Some(&target) = case.targets.first() else { continue };
        let unmet = |item: &ItemId| !case.history.contains(item) && !case.targets.contains(item);
        let pool: Vec<ItemId> =
            (0..).map(ItemId).take(subject.ground.n_items()).filter(unmet).collect();
        if pool.len() >= CANDIDATES - 1 && !case.history.contains(&target) {
            let mut rng = seeds.index(user as u64).rng();
            let mut others: Vec<ItemId> =
                pool.choose_multiple(&mut rng, CANDIDATES - 1).copied().collect();
            others.shuffle(&mut rng);
            asked.push((user, target, others));
        }
    }
    let users: Vec<usize> = asked.iter().map(|(user, ..)| *user).collect();
    let mut gains = vec![[0.0; PLACES.len()]; asked.len()];
    for (at, &place) in PLACES.iter().enumerate() {
        let mut next = asked.iter();
        let lists = among(subject, recommender, &users, |_| {
            let (_, target, others) = next.next().expect("as many as users");
            let mut told = others.clone();
            told.insert(place, *target);
            told
        })?;
        for ((gains, list), (_, target, _)) in gains.iter_mut().zip(&lists).zip(&asked) {
            let rank = list.items.iter().position(|item| item == target);
            gains[at] = rank.map_or(0.0, |rank| 1.0 / ((rank + 2) as f64).log2());
        }
    }
    Ok(gains)
}

/// An item that is explained to a user, and the history without what is cited and without another item.
struct Deletion {
    item: ItemId,
    /// The user's place among the subject's.
    user: usize,
    /// What is taken out: what is cited, and the other.
    gone: [ItemId; 2],
    histories: [Vec<ItemId>; 2],
}

/// Takes what each explanation cites out of the history, and then, as a control, another item drawn at
/// random, and says how much further what was recommended fell by the first than by the second.
///
/// # Formula
/// log₂(rank without the cited item) − log₂(rank without another), among all that is ranked; neither of the
/// two items counts in the lists. Larger than 0 where what is cited mattered more than chance. A value for
/// each explanation that cites the history, or names an item of it, where that has two different items or
/// more.
///
/// # References
/// Deletion, or comprehensiveness: `DeYoung` et al. 2020 (ERASER).
pub fn to_what_is_cited(
    subject: &Subject<'_>,
    recommender: &dyn Recommender,
    seeds: &SeedTree,
) -> Result<Vec<f64>> {
    // Where all cite, no text is read.
    let known = LazyCell::new(|| Known::new(subject.scope.data));
    let mut asked: Vec<Deletion> = Vec::new();
    for (place, (explanation, at)) in subject.explained().enumerate() {
        let history = subject.cases[at].history;
        let met = |item: &ItemId| history.contains(item);
        let named = || known.check(explanation, history).named.into_iter().find(met);
        let Some(cited) = explanation.cited.filter(met).or_else(named) else { continue };
        let without = |gone: ItemId| -> Vec<ItemId> {
            history.iter().copied().filter(|item| *item != gone).collect()
        };
        let others = without(cited);
        let Some(&other) = others.choose(&mut seeds.index(place as u64).rng()) else { continue };
        let histories = [others, without(other)];
        asked.push(Deletion { item: explanation.item, user: at, gone: [cited, other], histories });
    }
    let mut ranks = [vec![], vec![]];
    for (which, ranks) in ranks.iter_mut().enumerate() {
        let queries: Vec<RecQuery<'_>> =
            asked.iter().map(|one| subject.query(one.user, &one.histories[which])).collect();
        let lists = recommender.recommend(&queries, &subject.options(subject.ground.n_items()))?;
        for (list, one) in lists.iter().zip(&asked) {
            let counts = |item: &&ItemId| !one.gone.contains(item);
            let place = list.items.iter().filter(counts).position(|item| *item == one.item);
            ranks.push((place.unwrap_or(subject.ground.n_items()) + 1) as f64);
        }
    }
    let [cited, other] = ranks;
    Ok(cited.iter().zip(&other).map(|(cited, other)| (cited / other).log2()).collect())
}
