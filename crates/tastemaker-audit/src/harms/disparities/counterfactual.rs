//! How lists differ where nothing but a sensitive attribute is told.

use tastemaker_core::ItemId;
use tastemaker_eval::significance::mean_of;

use crate::probes::agreement::{jaccard, prag, serp, serp_as_coded};
use crate::{Counterfactual, Exposed, Notes, Subject};

type Like = fn(&[ItemId], &[ItemId]) -> f64;

/// How lists are compared with neutral ones, as signs end on it.
const LIKENESSES: [(&str, Like); 4] =
    [("jaccard", jaccard), ("serp", serp), ("serp-code", serp_as_coded), ("prag", prag)];

pub(super) fn measure(subject: &Subject<'_>, notes: &mut Notes) {
    if subject.evidence.counterfactual.is_empty() {
        let reason = "no lists were given for values of a sensitive attribute and without any";
        for (name, _) in LIKENESSES {
            notes.cannot_all(&[&format!("snsr-{name}"), &format!("snsv-{name}")], "", reason);
        }
        notes.cannot("alignment-gap", "", reason);
    }
    for given in &subject.evidence.counterfactual {
        for (name, like) in LIKENESSES {
            differences(given, name, like, subject.scope.k, notes);
        }
        alignment(given, subject.scope.k, notes);
    }
}

fn first(list: &[ItemId], k: usize) -> &[ItemId] {
    &list[..k.min(list.len())]
}

/// The range and the standard deviation, of the population, over values of the mean likeness of their lists
/// to the neutral ones.
fn differences(given: &Counterfactual, name: &str, like: Like, k: usize, notes: &mut Notes) {
    let of_value = |lists: &Vec<Vec<ItemId>>| -> Vec<f64> {
        let pairs = lists.iter().zip(&given.neutral);
        pairs.map(|(list, neutral)| like(first(list, k), first(neutral, k))).collect()
    };
    let values: Vec<Vec<f64>> = given.values.iter().map(|(_, lists)| of_value(lists)).collect();
    let means = |sample: &[usize]| -> Vec<f64> {
        values.iter().map(|values| mean_of(sample, values)).collect()
    };
    let deviation = |sample: &[usize]| {
        let means = means(sample);
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        (means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / means.len() as f64).sqrt()
    };
    let n = given.neutral.len();
    range(given, &format!("snsr-{name}"), n, means, notes);
    if let Some(indicator) =
        notes.statistic(&format!("snsv-{name}"), &given.attribute, n, 1, deviation)
    {
        indicator.exposed = exposed(given);
    }
}

/// How much of what is truly liked is listed, by value.
fn alignment(given: &Counterfactual, k: usize, notes: &mut Notes) {
    let asked: Vec<usize> =
        (0..given.liked.len()).filter(|&at| !given.liked[at].is_empty()).collect();
    if asked.is_empty() {
        let reason = "what the users of the questions truly like was not given";
        return notes.cannot("alignment-gap", &given.attribute, reason);
    }
    let share = |lists: &Vec<Vec<ItemId>>, at: usize| {
        let (list, liked) = (first(&lists[at], k), &given.liked[at]);
        let found = liked.iter().filter(|item| list.contains(item)).count();
        found as f64 / liked.len() as f64
    };
    let of_value = |(_, lists): &(String, Vec<Vec<ItemId>>)| -> Vec<f64> {
        asked.iter().map(|&at| share(lists, at)).collect()
    };
    let values: Vec<Vec<f64>> = given.values.iter().map(of_value).collect();
    let means = |sample: &[usize]| -> Vec<f64> {
        values.iter().map(|values| mean_of(sample, values)).collect()
    };
    range(given, "alignment-gap", asked.len(), means, notes);
}

/// The largest less the smallest of the means; which two these are is chosen once, for all samples.
fn range(
    given: &Counterfactual,
    sign: &str,
    n: usize,
    means: impl Fn(&[usize]) -> Vec<f64>,
    notes: &mut Notes,
) {
    let all: Vec<usize> = (0..n).collect();
    let Some((low, high)) = crate::probes::groups::ends(&means(&all)).filter(|_| n > 0) else {
        return notes.cannot(sign, &given.attribute, "no lists with a value told were given");
    };
    let pairs = given.values.len() * given.values.len().saturating_sub(1) / 2;
    let range = |sample: &[usize]| {
        let means = means(sample);
        means[high] - means[low]
    };
    if let Some(indicator) = notes.statistic(sign, &given.attribute, n, pairs, range) {
        let told =
            format!("; most for {}, least for {}", given.values[high].0, given.values[low].0);
        indicator.protocol.push_str(&told);
        indicator.exposed = exposed(given);
    }
}

fn exposed(given: &Counterfactual) -> Exposed {
    let whom = format!("whose {} is told", given.attribute);
    Exposed { whom, share: 1.0, protected: true }
}
