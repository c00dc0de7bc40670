//! A number from ranked lists.

use std::str::FromStr;

use tastemaker_core::{Error, ItemId, RankedList, Result, registry, suggest};

mod coverage;
mod hit_rate;
mod invalid_rate;
mod map;
mod mrr;
mod ndcg;
mod precision;
mod recall;

pub use coverage::Coverage;
pub use hit_rate::HitRate;
pub use invalid_rate::InvalidRate;
pub use map::Map;
pub use mrr::Mrr;
pub use ndcg::Ndcg;
pub use precision::Precision;
pub use recall::Recall;

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The larger one.
    Higher,
    /// The smaller one.
    Lower,
}

/// A number from ranked lists and what they should have held.
///
/// Targets are relevant or not (binary relevance), and there is at least one.
pub trait Metric: Send + Sync {
    /// The name in tables, with the cut-off: `NDCG@10`.
    fn label(&self) -> String;

    /// How many items of a list are looked at.
    fn k(&self) -> usize;

    /// Which values are better.
    fn better(&self) -> Better {
        Better::Higher
    }

    /// The smallest and the largest value there can be.
    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    /// The value of one user's list, best item first; the metric is the mean over users. `None`
    /// for metrics of all lists together.
    fn of_list(&self, list: &[ItemId], targets: &[ItemId]) -> Option<f64>;

    /// [`Metric::of_list`], of a list with all that is known of it.
    fn of_ranked(&self, list: &RankedList, targets: &[ItemId]) -> Option<f64> {
        self.of_list(&list.items, targets)
    }

    /// The value of all lists together, from how often each item of the catalog stands among the
    /// first `k` of a list. `None` for metrics of single lists.
    fn of_exposure(&self, _exposure: &[u32]) -> Option<f64> {
        None
    }
}

registry! {
    /// Every metric a study can name.
    pub enum AnyMetric: Metric {
        /// Share of the catalog that is recommended to anybody.
        "coverage" => Coverage(Coverage),
        /// Share of users with a target in their list (HR).
        "hit-rate" => HitRate(HitRate),
        /// Share of what a model names that does not exist.
        "invalid-rate" => InvalidRate(InvalidRate),
        /// Mean average precision over all targets.
        "map" => Map(Map),
        /// Mean reciprocal rank of the first target.
        "mrr" => Mrr(Mrr),
        /// Normalised discounted cumulative gain: targets count more the higher they stand.
        "ndcg" => Ndcg(Ndcg),
        /// Share of the list that are targets.
        "precision" => Precision(Precision),
        /// Share of the targets that are in the list.
        "recall" => Recall(Recall),
    }
}

impl AnyMetric {
    /// The metrics of a study that names none.
    pub fn usual() -> Vec<Self> {
        vec![
            Self::HitRate(HitRate { k: 5 }),
            Self::HitRate(HitRate { k: 10 }),
            Self::Ndcg(Ndcg { k: 5 }),
            Self::Ndcg(Ndcg { k: 10 }),
            Self::Mrr(Mrr { k: 10 }),
            Self::Coverage(Coverage { k: 10 }),
        ]
    }
}

impl FromStr for AnyMetric {
    type Err = Error;

    /// Reads `ndcg@10`, the way metrics are named on the command line.
    fn from_str(written: &str) -> Result<Self> {
        let setting = |found: &str, expected: String| Error::Setting {
            name: "metric".to_owned(),
            found: found.to_owned(),
            expected,
        };
        if written == "invalid-rate" {
            return Ok(Self::InvalidRate(InvalidRate {}));
        }
        let (name, k) = written.split_once('@').ok_or_else(|| {
            setting(written, "a metric and its cut-off, such as ndcg@10".to_owned())
        })?;
        let k: usize =
            k.parse().map_err(|_| setting(written, "a whole number after the \"@\"".to_owned()))?;
        let name = name.to_lowercase();
        match name.as_str() {
            "coverage" => Ok(Self::Coverage(Coverage { k })),
            "hit-rate" | "hr" | "hit" => Ok(Self::HitRate(HitRate { k })),
            "map" => Ok(Self::Map(Map { k })),
            "mrr" => Ok(Self::Mrr(Mrr { k })),
            "ndcg" => Ok(Self::Ndcg(Ndcg { k })),
            "precision" => Ok(Self::Precision(Precision { k })),
            "recall" => Ok(Self::Recall(Recall { k })),
            _ => {
                let names = || Self::ENTRIES.iter().map(|entry| entry.name);
                let known: Vec<&str> = names().collect();
                let hint = suggest::hint(&name, names());
                Err(setting(&name, format!("one of {}{hint}", known.join(", "))))
            }
        }
    }
}

/// The ranks, from 1, of the targets among the first `k` of `list`, in the order of the list.
fn ranks<'a>(
    list: &'a [ItemId],
    targets: &'a [ItemId],
    k: usize,
) -> impl Iterator<Item = usize> + 'a {
    (1..).zip(list.iter().take(k)).filter(|(_, item)| targets.contains(item)).map(|(rank, _)| rank)
}

/// The sum of `values`, which of none is 0 and not the −0 that a sum of floating-point numbers
/// begins with.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}
