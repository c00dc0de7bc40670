//! A number from ranked lists.

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tastemaker_core::catalog::Column;
use tastemaker_core::{Dataset, Error, ItemId, RankedList, Result, registry, suggest};

use crate::About;

mod auc;
mod average_popularity;
mod coverage;
mod diversity;
mod entropy;
mod gini;
mod grouped_auc;
mod hit_rate;
mod invalid_rate;
mod long_tail;
mod map;
mod miscalibration;
mod mrr;
mod ndcg;
mod novelty;
mod precision;
mod r_precision;
mod recall;
mod serendipity;
mod text_diversity;

pub use auc::Auc;
pub use average_popularity::AveragePopularity;
pub use coverage::Coverage;
pub use diversity::{Diversity, distance};
pub use entropy::Entropy;
pub use gini::Gini;
pub use grouped_auc::GroupedAuc;
pub use hit_rate::HitRate;
pub use invalid_rate::InvalidRate;
pub use long_tail::LongTail;
pub use map::Map;
pub use miscalibration::{Miscalibration, divergence};
pub use mrr::Mrr;
pub use ndcg::Ndcg;
pub use novelty::Novelty;
pub use precision::Precision;
pub use r_precision::RPrecision;
pub use recall::Recall;
pub use serendipity::Serendipity;
pub use text_diversity::TextDiversity;

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The larger one.
    Higher,
    /// The smaller one.
    Lower,
}

impl Better {
    /// What to multiply values with so that the larger one is better.
    pub fn sign(self) -> f64 {
        match self {
            Self::Higher => 1.0,
            Self::Lower => -1.0,
        }
    }
}

/// A number from ranked lists and what they should have held.
///
/// Targets are relevant or not (binary relevance), and there is at least one.
pub trait Metric: Send + Sync {
    /// The name in tables, with the cut-off: `NDCG@10`.
    fn label(&self) -> String;

    /// How many items of a list are looked at; `usize::MAX` for all.
    fn k(&self) -> usize;

    /// How long a list must be where no user has more than `most_targets`.
    fn depth(&self, _most_targets: usize) -> usize {
        self.k()
    }

    /// What of the settings beside the cut-off cannot be used.
    fn problem(&self) -> Option<Error> {
        None
    }

    /// What it must know of items.
    fn needs(&self) -> Need<'_> {
        Need::Nothing
    }

    /// Which values are better.
    fn better(&self) -> Better {
        Better::Higher
    }

    /// The smallest and the largest value there can be.
    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    /// The value of one user's list, best item first; the metric is the mean over users. `None`
    /// for metrics of all lists together, and those that must know more ([`Metric::of_user`]).
    fn of_list(&self, _list: &[ItemId], _targets: &[ItemId]) -> Option<f64> {
        None
    }

    /// [`Metric::of_list`], of a list with all that is known of it and of its user.
    fn of_user(&self, list: &RankedList, targets: &[ItemId], _about: &About<'_>) -> Option<f64> {
        self.of_list(&list.items, targets)
    }

    /// How much a user counts in the mean.
    fn weight(&self, _targets: &[ItemId]) -> f64 {
        1.0
    }

    /// The value of all lists together, from how often each item of the catalog stands among the
    /// first `k` of a list. `None` for metrics of single lists.
    fn of_exposure(&self, _exposure: &[u32]) -> Option<f64> {
        None
    }
}

/// What a metric must know of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// Nothing.
    Nothing,
    /// How often they were met in the training part.
    Popularity,
    /// Their categories, of this attribute or of all.
    Categories(Option<&'a str>),
    /// Embeddings of their texts by the sentence encoder in this folder.
    Embeddings(&'a Path),
}

registry! {
    /// Every metric a study can name.
    pub enum AnyMetric: Metric {
        /// Probability that a target stands above an item that is none.
        "auc" => Auc(Auc),
        /// How popular what is recommended is (ARP).
        "average-popularity" => AveragePopularity(AveragePopularity),
        /// Share of the catalog that is recommended to anybody.
        "coverage" => Coverage(Coverage),
        /// How different the items of a list are by their categories (ILD).
        "diversity" => Diversity(Diversity),
        /// How evenly items are recommended, in nats.
        "entropy" => Entropy(Entropy),
        /// How unequally items are recommended: 0 is equal.
        "gini" => Gini(Gini),
        /// AUC of each user, weighted by targets (GAUC).
        "grouped-auc" => GroupedAuc(GroupedAuc),
        /// Share of users with a target in their list (HR).
        "hit-rate" => HitRate(HitRate),
        /// Share of what a model names that does not exist.
        "invalid-rate" => InvalidRate(InvalidRate),
        /// Share of the list from the long tail of the catalog (APLT).
        "long-tail" => LongTail(LongTail),
        /// Mean average precision over all targets.
        "map" => Map(Map),
        /// How far a list is from the user's own mix of categories.
        "miscalibration" => Miscalibration(Miscalibration),
        /// Mean reciprocal rank of the first target.
        "mrr" => Mrr(Mrr),
        /// Normalised discounted cumulative gain: targets count more the higher they stand.
        "ndcg" => Ndcg(Ndcg),
        /// How little known what is recommended is, in bits.
        "novelty" => Novelty(Novelty),
        /// Share of the list that are targets.
        "precision" => Precision(Precision),
        /// Share of as many first items as there are targets that are targets.
        "r-precision" => RPrecision(RPrecision),
        /// Share of the targets that are in the list.
        "recall" => Recall(Recall),
        /// Targets that popularity would not have found.
        "serendipity" => Serendipity(Serendipity),
        /// How different the items of a list are by embeddings of their texts (ILD).
        "text-diversity" => TextDiversity(TextDiversity),
    }
}

impl AnyMetric {
    /// Whether it tells how well targets are foretold, and not what else lists are.
    pub fn is_of_accuracy(&self) -> bool {
        matches!(
            self,
            Self::Auc(_)
                | Self::GroupedAuc(_)
                | Self::HitRate(_)
                | Self::Map(_)
                | Self::Mrr(_)
                | Self::Ndcg(_)
                | Self::Precision(_)
                | Self::RPrecision(_)
                | Self::Recall(_)
        )
    }

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
        match written.to_lowercase().as_str() {
            "auc" => return Ok(Self::Auc(Auc {})),
            "grouped-auc" | "gauc" => return Ok(Self::GroupedAuc(GroupedAuc {})),
            "invalid-rate" => return Ok(Self::InvalidRate(InvalidRate {})),
            "r-precision" => return Ok(Self::RPrecision(RPrecision {})),
            _ => {}
        }
        let (name, k) = written.split_once('@').ok_or_else(|| {
            setting(written, "a metric and its cut-off, such as ndcg@10".to_owned())
        })?;
        let k: usize =
            k.parse().map_err(|_| setting(written, "a whole number after the \"@\"".to_owned()))?;
        let (name, attribute) = (name.to_lowercase(), None);
        if let Ok(whole) = name.parse::<Self>()
            && !name.contains('@')
        {
            let expected = format!("{:?}, which has no cut-off", whole.name());
            return Err(setting(written, expected));
        }
        match name.as_str() {
            "average-popularity" | "arp" => Ok(Self::AveragePopularity(AveragePopularity { k })),
            "coverage" => Ok(Self::Coverage(Coverage { k })),
            "diversity" | "ild" => Ok(Self::Diversity(Diversity { k, attribute })),
            "entropy" => Ok(Self::Entropy(Entropy { k })),
            "gini" => Ok(Self::Gini(Gini { k })),
            "hit-rate" | "hr" | "hit" => Ok(Self::HitRate(HitRate { k })),
            "long-tail" | "aplt" => Ok(Self::LongTail(LongTail::of(k))),
            "map" => Ok(Self::Map(Map { k })),
            "miscalibration" => Ok(Self::Miscalibration(Miscalibration { k, attribute })),
            "mrr" => Ok(Self::Mrr(Mrr { k })),
            "ndcg" => Ok(Self::Ndcg(Ndcg { k })),
            "novelty" => Ok(Self::Novelty(Novelty { k })),
            "precision" => Ok(Self::Precision(Precision { k })),
            "recall" => Ok(Self::Recall(Recall { k })),
            "serendipity" => Ok(Self::Serendipity(Serendipity { k })),
            "text-diversity" => Ok(Self::TextDiversity(TextDiversity::of(k))),
            _ => {
                let names = || Self::ENTRIES.iter().map(|entry| entry.name);
                let known: Vec<&str> = names().collect();
                let hint = suggest::hint(&name, names());
                Err(setting(&name, format!("one of {}{hint}", known.join(", "))))
            }
        }
    }
}

impl AnyMetric {
    /// Why `data` cannot support this metric, if it cannot.
    pub fn unsuitable(&self, data: &Dataset) -> Option<String> {
        let Need::Categories(wanted) = self.as_dyn().needs() else { return None };
        let has = |column: &Column| matches!(column, Column::Categories(rows) if rows.iter().any(|row| !row.is_empty()));
        let attributes = data.catalog.attributes().iter().filter(|a| has(&a.column));
        let names: Vec<&str> = attributes.map(|attribute| &attribute.name[..]).collect();
        let label = self.as_dyn().label();
        match wanted {
            _ if names.is_empty() => {
                Some(format!("{label} looks at categories of items, of which the data has none"))
            }
            Some(wanted) if !names.contains(&wanted) => {
                let hint = suggest::hint(wanted, names.iter().copied());
                let known = names.join(", ");
                Some(format!(
                    "{label}: no attribute {wanted:?} holds categories, only {known}{hint}"
                ))
            }
            _ => None,
        }
    }
}

/// The mean, 0 of nothing.
pub(crate) fn mean_of(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0_u32);
    for value in values {
        (sum, n) = (sum + value, n + 1);
    }
    sum / f64::from(n.max(1))
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
pub(crate) fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}
