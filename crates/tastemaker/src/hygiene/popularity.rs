//! What popularity would seem to be worth if it were counted on the targets too.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use tastemaker_core::splits::Part;
use tastemaker_core::{Dataset, ItemId};

use super::{Found, Subject, Verdict};

/// Items of a list that are looked at.
const K: usize = 10;

/// The hit rate, over the validation targets, of the most popular items: counted on the training part, as
/// it is here, and with the targets, as some published baselines are.
pub(super) fn counted_on_targets(subject: &Subject<'_>) -> Found {
    let data = &subject.data.dataset;
    let train = subject.split.train_popularity(data);
    let mut all = vec![0_u32; data.n_items()];
    for item in data.interactions.all_items() {
        all[item.index()] += 1;
    }
    let (right, leaked) = (hit_rate(subject, data, &train)?, hit_rate(subject, data, &all)?);
    let message = format!(
        "counted on the training part, as here, the most popular items have HR@{K} {right:.4} over the \
         validation targets; counted with the targets it would seem to be {leaked:.4}"
    );
    Some((Verdict::Fine, message))
}

fn hit_rate(subject: &Subject<'_>, data: &Dataset, popularity: &[u32]) -> Option<f64> {
    let mut order: Vec<ItemId> = (0..).map(ItemId).take(data.n_items()).collect();
    order.sort_by_key(|item| Reverse(popularity[item.index()]));
    let (mut hits, mut users) = (0_u32, 0_u32);
    for case in subject.split.iter_cases(data, Part::Validation) {
        let seen: BTreeSet<ItemId> = case.history.iter().copied().collect();
        let mut list = order.iter().filter(|item| !seen.contains(item)).take(K);
        hits += u32::from(list.any(|item| case.targets.contains(item)));
        users += 1;
    }
    (users > 0).then(|| f64::from(hits) / f64::from(users))
}
