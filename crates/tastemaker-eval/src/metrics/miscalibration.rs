//! How far a list is from the user's own mix of categories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Better, Metric, Need};
use crate::About;

/// How far a list is from the user's own mix of categories.
///
/// # What it measures
/// Whether a user who likes some of this and some of that gets some of both. 0 where the mix is the
/// same.
///
/// # Formula
/// `Σ` over c of p(c) ln (p(c) / q̃(c)) with q̃ = 0.99 q + 0.01 p, where p(c) and q(c) are the shares of
/// a category in the history and among the first k; an item gives each of its n categories 1/n. ln 100
/// for a list without any category, and 0 for a history without any. The mean over users.
///
/// # When not to use it
/// For users with few items: their mix is chance.
///
/// # References
/// Steck 2018, *Calibrated recommendations*, with its α of 0.01; `entropy(p, q̃)` of scipy.stats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Miscalibration {
    /// The cut-off.
    pub k: usize,
    /// The attribute whose categories are looked at; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

impl Metric for Miscalibration {
    fn label(&self) -> String {
        match &self.attribute {
            Some(attribute) => format!("Miscalibration@{} {attribute}", self.k),
            None => format!("Miscalibration@{}", self.k),
        }
    }

    fn k(&self) -> usize {
        self.k
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn needs(&self) -> Need<'_> {
        Need::Categories(self.attribute.as_deref())
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], about: &About<'_>) -> Option<f64> {
        let attribute = self.attribute.as_deref();
        let p = about.ground.mix(about.history, attribute);
        let q = about.ground.mix(&list.items[..self.k.min(list.items.len())], attribute);
        Some(divergence(&p, &q))
    }
}

/// How far the shares `q` of categories are from the shares `p`, as [`Miscalibration`] has it.
pub fn divergence(p: &BTreeMap<u32, f64>, q: &BTreeMap<u32, f64>) -> f64 {
    let of = |(category, p): (&u32, &f64)| {
        let q = q.get(category).copied().unwrap_or_default();
        p * (p / (0.99 * q + 0.01 * p)).ln()
    };
    super::total(p.iter().map(of))
}
