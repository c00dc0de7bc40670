//! Probability that a target stands above an item that is none.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::Metric;
use crate::About;
use crate::predictions::area;

/// Probability that a target stands above an item that is none.
///
/// # What it measures
/// How well the whole ranking tells targets from other items, each user by itself.
///
/// # Formula
/// Over all pairs of a target and another candidate, the share in which the target has the better
/// score; equal scores count half, and items that the list leaves out are below it and equal. The
/// mean over users; 1/2 where there is no other candidate.
///
/// # When not to use it
/// What stands far down counts as much as what stands at the top. It ranks the whole catalog.
///
/// # References
/// `roc_auc_score` of scikit-learn, one user at a time; users weighted by targets: `grouped-auc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Auc {}

impl Metric for Auc {
    fn label(&self) -> String {
        "AUC".to_owned()
    }

    fn k(&self) -> usize {
        usize::MAX
    }

    fn of_user(&self, list: &RankedList, targets: &[ItemId], about: &About<'_>) -> Option<f64> {
        Some(auc(list, targets, about.n_candidates()))
    }
}

/// The area under one user's curve, among `n` candidates.
pub(super) fn auc(list: &RankedList, targets: &[ItemId], n: usize) -> f64 {
    // What the list leaves out.
    let (mut left, mut others) = (targets.len(), n.saturating_sub(targets.len()));
    let (mut alike, mut first) = (Vec::new(), 0);
    for scores in list.scores.chunk_by(|a, b| a.total_cmp(b).is_eq()) {
        let items = &list.items[first..first + scores.len()];
        let own = items.iter().filter(|item| targets.contains(item)).count();
        let equal = items.len() - own;
        alike.push((own, equal));
        (left, others) = (left.saturating_sub(own), others.saturating_sub(equal));
        first += items.len();
    }
    alike.push((left, others));
    area(alike).unwrap_or(0.5)
}
