//! Probability that a target stands above an item that is none.

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::Metric;
use crate::About;

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
    let others = n.saturating_sub(targets.len());
    if others == 0 || targets.is_empty() {
        return 0.5;
    }
    // Pairs in which the target is better, and others that stand above.
    let (mut better, mut above, mut found) = (0.0, 0, 0);
    let mut first = 0;
    while first < list.items.len() {
        let score = list.scores[first];
        let alike =
            list.scores[first..].iter().take_while(|other| other.total_cmp(&score).is_eq()).count();
        let items = &list.items[first..first + alike];
        let own = items.iter().filter(|item| targets.contains(item)).count();
        let equal = alike - own;
        better += own as f64 * ((others - above.min(others)) as f64 - equal as f64 / 2.0);
        (above, found, first) = (above + equal, found + own, first + alike);
    }
    let left = targets.len() - found;
    better += left as f64 * (others - above.min(others)) as f64 / 2.0;
    better / (targets.len() * others) as f64
}
