//! Candidates for a sampled ranking, users for one of few, and noise in histories.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::{SliceRandom, index};
use tastemaker_core::splits::EvalCase;
use tastemaker_core::{ItemId, SeedTree};

/// `n` of `cases`, drawn uniformly, in the order in which they were.
pub(crate) fn users<'a>(cases: Vec<EvalCase<'a>>, n: usize, seeds: &SeedTree) -> Vec<EvalCase<'a>> {
    let mut drawn = vec![false; cases.len()];
    for place in index::sample(&mut seeds.rng(), cases.len(), n) {
        drawn[place] = true;
    }
    cases.into_iter().zip(drawn).filter_map(|(case, drawn)| drawn.then_some(case)).collect()
}

/// The targets of `case` and `n` items drawn uniformly, without repetition, from those that are
/// neither targets nor, unless they may be recommended again, in the history. All of them where
/// there are fewer. A user's items follow from `seeds` and the user alone. They come in a random
/// order: what is told of them in order must not learn from it which are the targets.
pub(crate) fn candidates(
    case: &EvalCase<'_>,
    n: usize,
    n_items: usize,
    allow_seen: bool,
    seeds: &SeedTree,
) -> Vec<ItemId> {
    mixed(case, drawn(case, n, n_items, allow_seen, seeds), seeds)
}

/// As [`candidates`], but the first `n` of `list` instead of drawn ones.
pub(crate) fn listed(
    case: &EvalCase<'_>,
    n: usize,
    list: &[ItemId],
    allow_seen: bool,
    seeds: &SeedTree,
) -> Vec<ItemId> {
    let listed = new_items(case, list, allow_seen).take(n);
    mixed(case, case.targets.iter().copied().chain(listed).collect(), seeds)
}

/// Those of `list` that are neither targets of `case` nor, unless they may be recommended again, in the
/// history.
pub(crate) fn new_items<'a>(
    case: &'a EvalCase<'a>,
    list: &'a [ItemId],
    allow_seen: bool,
) -> impl Iterator<Item = ItemId> + 'a {
    let can_be = move |item: &ItemId| {
        !case.targets.contains(item) && (allow_seen || !case.history.contains(item))
    };
    list.iter().copied().filter(can_be)
}

/// The candidates of `case` in a random order.
fn mixed(case: &EvalCase<'_>, mut candidates: Vec<ItemId>, seeds: &SeedTree) -> Vec<ItemId> {
    candidates.shuffle(&mut seeds.child("order").index(u64::from(case.user.0)).rng());
    candidates
}

/// The history of `case`, each item of it replaced with the probability `share` by one drawn uniformly from
/// those that are no targets. A user's noise follows from `seeds` and the user alone.
pub(crate) fn noisy(
    case: &EvalCase<'_>,
    share: f64,
    n_items: usize,
    seeds: &SeedTree,
) -> Vec<ItemId> {
    let mut rng = seeds.index(u64::from(case.user.0)).rng();
    let all = u32::try_from(n_items).expect("items are numbered in 32 bits");
    let mut told = |item: &ItemId| {
        if !rng.random_bool(share) {
            return *item;
        }
        // Of a catalog of nothing but targets nothing can be drawn.
        let drawn = (0..64).map(|_| ItemId(rng.random_range(0..all)));
        drawn.into_iter().find(|drawn| !case.targets.contains(drawn)).unwrap_or(*item)
    };
    case.history.iter().map(&mut told).collect()
}

/// [`candidates`], the targets first.
fn drawn(
    case: &EvalCase<'_>,
    n: usize,
    n_items: usize,
    allow_seen: bool,
    seeds: &SeedTree,
) -> Vec<ItemId> {
    let mut taken: HashSet<ItemId> = case.targets.iter().copied().collect();
    if !allow_seen {
        taken.extend(case.history);
    }
    let mut candidates = case.targets.to_vec();
    let left = n_items.saturating_sub(taken.len());
    let all = u32::try_from(n_items).expect("items are numbered in 32 bits");
    if n >= left {
        candidates.extend((0..all).map(ItemId).filter(|item| !taken.contains(item)));
        return candidates;
    }
    let mut rng = seeds.index(u64::from(case.user.0)).rng();
    if n > left / 2 {
        // Few would be missed: draw those that are left out instead of trying again and again.
        let mut rest: Vec<ItemId> =
            (0..all).map(ItemId).filter(|item| !taken.contains(item)).collect();
        for place in 0..n {
            let chosen = rng.random_range(place..rest.len());
            rest.swap(place, chosen);
        }
        candidates.extend(&rest[..n]);
        return candidates;
    }
    let wanted = candidates.len() + n;
    while candidates.len() < wanted {
        let item = ItemId(rng.random_range(0..all));
        if taken.insert(item) {
            candidates.push(item);
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::UserId;

    #[test]
    fn negatives_are_new_distinct_and_the_users_own() {
        let history: Vec<ItemId> = (0..10).map(ItemId).collect();
        let seeds = SeedTree::new(1);
        let of = |user, n| {
            let case = EvalCase { user: UserId(user), history: &history, targets: &[ItemId(10)] };
            candidates(&case, n, 100, false, &seeds)
        };
        for n in [1, 20, 60, 89, 200] {
            let drawn = of(1, n);
            assert_eq!(drawn.len(), 1 + n.min(89));
            assert!(drawn.iter().all(|item| item.0 >= 10));
            assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
        }
        // The target is anywhere.
        let places = (0..200).map(|user| of(user, 19).iter().position(|item| item.0 == 10));
        let places: Vec<usize> = places.map(Option::unwrap).collect();
        for place in 0..20 {
            let n = places.iter().filter(|other| **other == place).count();
            assert!((1..=24).contains(&n), "place {place}: {n} of 200");
        }
        assert_eq!(of(1, 20), of(1, 20));
        assert_ne!(of(1, 20), of(2, 20));
    }

    #[test]
    fn of_lists_the_first_are_taken_that_are_new() {
        let items = |numbers: &[u32]| numbers.iter().copied().map(ItemId).collect::<Vec<_>>();
        let (history, list) = (items(&[1, 2]), items(&[7, 2, 9, 5, 8]));
        let case = EvalCase { user: UserId(0), history: &history, targets: &[ItemId(9)] };
        let of = |n, allow_seen| {
            let mut listed = listed(&case, n, &list, allow_seen, &SeedTree::new(1));
            listed.sort_unstable();
            listed
        };
        assert_eq!(of(2, false), items(&[5, 7, 9]));
        assert_eq!(of(2, true), items(&[2, 7, 9]));
        assert_eq!(of(9, false), items(&[5, 7, 8, 9]), "all of them where there are fewer");
    }
}
