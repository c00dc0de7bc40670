//! What those who make things get of what is shown.

use std::collections::BTreeSet;

use tastemaker_core::catalog::Column;
use tastemaker_core::{ItemId, RankedList};
use tastemaker_eval::Ground;
use tastemaker_eval::metrics::{AveragePopularity, Gini, LongTail, Metric};
use tastemaker_eval::significance::mean_of;

use super::Disparities;
use crate::probes::agreement::{jaccard, rank_biased_overlap};
use crate::probes::exposure::{Chances, counts, deviation_of_chances, herfindahl, total_variation};
use crate::probes::feedback_loop::popularity;
use crate::probes::sensitivity::PERSISTENCE;
use crate::{Exposed, Horizon, Notes, Subject};

/// The share of the training part's interactions that popular items have.
const HEAD: f64 = 0.8;

pub(super) fn measure(settings: &Disparities, subject: &Subject<'_>, notes: &mut Notes) {
    by_popularity(subject, notes);
    chances(subject, notes);
    shift(settings, subject, notes);
    recency(settings, subject, notes);
    snapshots(subject, notes);
}

/// Those who make what few have met.
fn tail(ground: &Ground) -> Exposed {
    let items = || (0..).map(ItemId).take(ground.n_items());
    let tail = items().filter(|&item| ground.is_long_tail(item, HEAD)).count();
    let (whom, share) = ("those who make long-tail items", tail as f64 / ground.n_items() as f64);
    Exposed { whom: whom.to_owned(), share, protected: false }
}

fn by_popularity(subject: &Subject<'_>, notes: &mut Notes) {
    let (all, k, ground) = (subject.everybody(), subject.scope.k, &subject.ground);
    let values = |metric: &dyn Metric| subject.per_user(metric, &all);
    notes.mean("average-popularity", "", &values(&AveragePopularity { k }));
    let listed: Vec<f64> =
        subject.lists.iter().map(|list| popularity(&list.items, ground)).collect();
    let met: Vec<f64> = subject.cases.iter().map(|case| popularity(case.history, ground)).collect();
    let lift = |sample: &[usize]| mean_of(sample, &listed) / mean_of(sample, &met) - 1.0;
    notes.statistic("popularity-lift", "", all.len(), 1, lift);
    let tails = [
        ("long-tail", values(&LongTail::of(k))),
        ("long-tail-count", {
            let tail = |item: &&ItemId| ground.is_long_tail(**item, HEAD);
            subject.lists.iter().map(|list| list.items.iter().filter(tail).count() as f64).collect()
        }),
    ];
    for (sign, values) in tails {
        if let Some(indicator) = notes.mean(sign, "", &values) {
            indicator.exposed = tail(ground);
        }
    }
    let shown = |sample: &[usize]| {
        counts(sample.iter().map(|&at| &subject.lists[at].items[..]), ground.n_items())
    };
    let gini = |sample: &[usize]| (Gini { k }).of_exposure(&shown(sample)).unwrap_or(f64::NAN);
    notes.statistic("provider-gini", "", all.len(), 1, gini);
    notes.statistic("exposure-hhi", "", all.len(), 1, |sample| herfindahl(&shown(sample)));
}

/// For popular and for long-tail items: how many are recommended, and how many could have been.
fn chances(subject: &Subject<'_>, notes: &mut Notes) {
    let ground = &subject.ground;
    let group = |item: &ItemId| usize::from(ground.is_long_tail(*item, HEAD));
    let mut sizes = [0.0; 2];
    for item in (0..).map(ItemId).take(ground.n_items()) {
        sizes[group(&item)] += 1.0;
    }
    let (mut any, mut wanted): (Vec<Chances<2>>, Vec<Chances<2>>) = (Vec::new(), Vec::new());
    for (case, list) in subject.cases.iter().zip(&subject.lists) {
        let met: BTreeSet<ItemId> = case.history.iter().copied().collect();
        let mut own = sizes.map(|size| (0.0, size));
        for item in &met {
            own[group(item)].1 -= 1.0;
        }
        for item in &list.items {
            own[group(item)].0 += 1.0;
        }
        any.push(own);
        let mut own = [(0.0, 0.0); 2];
        for item in case.targets.iter().filter(|item| !met.contains(item)) {
            own[group(item)].1 += 1.0;
            own[group(item)].0 += f64::from(u8::from(list.items.contains(item)));
        }
        wanted.push(own);
    }
    for (sign, users) in [("popular-rsp", &any), ("popular-reo", &wanted)] {
        let found =
            notes.statistic(sign, "", users.len(), 1, |sample| deviation_of_chances(users, sample));
        if let Some(indicator) = found {
            indicator.exposed = tail(ground);
            // Where the long tail has the better chances, it is not who is exposed.
            let chance = |group: usize| {
                let sum = |part: fn(&(f64, f64)) -> f64| {
                    users.iter().map(|own| part(&own[group])).sum::<f64>()
                };
                sum(|own| own.0) / sum(|own| own.1)
            };
            indicator.hypothetical = chance(0) < chance(1);
        }
    }
}

fn shift(settings: &Disparities, subject: &Subject<'_>, notes: &mut Notes) {
    let (ground, catalog) = (&subject.ground, &subject.scope.data.catalog);
    let Some(provider) = settings.provider.as_deref() else {
        let reason = "no attribute of items was named that says who makes them";
        return notes.cannot("provider-shift", "", reason);
    };
    if !ground.has_categories(Some(provider)) {
        let all = catalog.attributes().iter().map(|attribute| &attribute.name[..]);
        let known = all.filter(|name| ground.has_categories(Some(name)));
        let known: Vec<&str> = known.collect();
        let hint = tastemaker_core::suggest::hint(provider, known.iter().copied());
        let expected =
            if known.is_empty() { "none are there".to_owned() } else { known.join(", ") };
        let reason = format!(
            "the catalog has no categories {provider:?}, expected one of: {expected}{hint}"
        );
        return notes.cannot("provider-shift", provider, reason);
    }
    let of = |item: ItemId| ground.categories(item, Some(provider)).collect::<Vec<u32>>();
    let items = || (0..).map(ItemId).take(ground.n_items());
    let numbers: BTreeSet<u32> = items().flat_map(of).collect();
    let (first, n) = (numbers.first().copied().unwrap_or_default(), numbers.len());
    let spread = |times: &dyn Fn(ItemId) -> f64| {
        let mut shares = vec![0.0; n];
        for item in items().filter(|&item| times(item) > 0.0) {
            let own = of(item);
            for number in &own {
                shares[(number - first) as usize] += times(item) / own.len() as f64;
            }
        }
        shares
    };
    let learnt = spread(&|item| f64::from(ground.popularity(item)));
    let variation = |sample: &[usize]| {
        let lists = sample.iter().map(|&at| &subject.lists[at].items[..]);
        let shown = counts(lists, ground.n_items());
        total_variation(&spread(&|item| f64::from(shown[item.index()])), &learnt)
    };
    notes.statistic("provider-shift", provider, subject.lists.len(), 1, variation);
}

fn recency(settings: &Disparities, subject: &Subject<'_>, notes: &mut Notes) {
    let signs = ["recency-shift", "recent-share-shift"];
    let Some(years) = years(settings, subject) else {
        let named = settings.year.as_deref().unwrap_or("year");
        let reason = format!("the catalog has no numbers {named:?} to tell years by");
        return notes.cannot_all(&signs, "", &reason);
    };
    let known = |items: &[ItemId]| -> Vec<f64> {
        items.iter().filter_map(|item| years[item.index()]).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let from = settings.recent.unwrap_or_else(|| newest_fifth(&years));
    let recent = |values: &[f64]| {
        values.iter().filter(|year| **year >= from).count() as f64 / values.len() as f64
    };
    let (mut shifts, mut shares) = (Vec::new(), Vec::new());
    for (case, list) in subject.cases.iter().zip(&subject.lists) {
        let (before, now) = (known(case.history), known(&list.items));
        if !before.is_empty() && !now.is_empty() {
            shifts.push(mean(&now) - mean(&before));
            shares.push(recent(&now) - recent(&before));
        }
    }
    notes.mean(signs[0], "", &shifts);
    notes.mean(signs[1], &format!("from {from}"), &shares);
}

/// The first year from which on no more than a fifth of the items with a year are; the last of all where it
/// has more.
fn newest_fifth(years: &[Option<f64>]) -> f64 {
    let mut known: Vec<f64> = years.iter().copied().flatten().collect();
    known.sort_by(|a, b| b.total_cmp(a));
    let most = known.len() / 5;
    // Where the items of a year begin to be too many, the next year is taken.
    let is_next = |at: &usize| *at > 0 && *at <= most && known[at - 1] > known[*at];
    let first = (0..known.len()).rfind(is_next);
    known.get(first.map_or(0, |at| at - 1)).copied().unwrap_or(f64::INFINITY)
}

/// The year of each item: a number, or a category that is one.
fn years(settings: &Disparities, subject: &Subject<'_>) -> Option<Vec<Option<f64>>> {
    let attributes = subject.scope.data.catalog.attributes();
    let is = |name: &str| match &settings.year {
        Some(named) => name == named,
        None => name.to_lowercase().contains("year"),
    };
    let years: Vec<Option<f64>> = match &attributes.iter().find(|own| is(&own.name))?.column {
        Column::Number(rows) => rows.clone(),
        Column::Categories(rows) => rows.iter().map(|row| row.first()?.parse().ok()).collect(),
        Column::Text(_) => return None,
    };
    years.iter().any(Option::is_some).then_some(years)
}

fn snapshots(subject: &Subject<'_>, notes: &mut Notes) {
    let snapshots = &subject.evidence.snapshots;
    if snapshots.is_empty() {
        let reason = "no lists of later states of the recommender were given";
        return notes.cannot_all(&["snapshot-jaccard", "snapshot-overlap"], "", reason);
    }
    let mean = |like: fn(&RankedList, &RankedList) -> f64| -> Vec<f64> {
        let of =
            |at: usize| snapshots.iter().map(|lists| like(&subject.lists[at], &lists[at])).sum();
        subject
            .everybody()
            .into_iter()
            .map(of)
            .map(|sum: f64| sum / snapshots.len() as f64)
            .collect()
    };
    let values = [
        ("snapshot-jaccard", mean(|a, b| jaccard(&a.items, &b.items))),
        ("snapshot-overlap", mean(|a, b| rank_biased_overlap(&a.items, &b.items, PERSISTENCE))),
    ];
    for (sign, values) in values {
        if let Some(indicator) = notes.mean(sign, "", &values) {
            indicator.horizon = Horizon::Long;
        }
    }
}
