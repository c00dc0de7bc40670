//! Which settings of an arm are searched for, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tastemaker_core::Error as CoreError;
use tastemaker_eval::metrics::{AnyMetric, Ndcg};

use super::Arm;
use crate::recommenders::AnyRecommender;
use crate::{Error, Result};

/// Where a recommender's settings say how many epochs it has; those of `sharded` say it of what is in it.
pub(crate) const EPOCHS: [&str; 5] = [
    "training.epochs",
    "tuning.epochs",
    "recommender.language-model.training.epochs",
    "recommender.text-to-text.training.epochs",
    "recommender.text-language-model.tuning.epochs",
];

/// How the settings of arms are searched for: every arm that has a space gets the same budget, and only
/// the validation targets judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Search {
    /// Settings that are tried, an arm.
    pub trials: usize,
    /// How the next ones are chosen.
    pub strategy: Strategy,
    /// What is to be best over the validation targets.
    pub metric: AnyMetric,
    /// The seed that trials are drawn and learn with, whatever the seeds of the runs.
    pub seed: u64,
}

impl Default for Search {
    fn default() -> Self {
        let metric = AnyMetric::Ndcg(Ndcg { k: 10 });
        Self { trials: 20, strategy: Strategy::Random {}, metric, seed: 1 }
    }
}

/// How the settings of the next trial are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Strategy {
    /// At random (Bergstra and Bengio 2012).
    Random {},
    /// Where good trials are dense and others are not, each setting by itself (Bergstra et al. 2011).
    Tpe {
        /// Trials at random before the first that is not.
        #[serde(default = "usual_startup")]
        startup: usize,
    },
    /// All trials with few epochs, the best 1/`eta` of them with `eta` times as many, and so on up to the
    /// epochs of the arm (Jamieson and Talwalkar 2016). Arms without epochs try everything in full.
    Halving {
        /// What is divided by, 2 or more.
        #[serde(default = "usual_eta")]
        eta: usize,
    },
}

fn usual_startup() -> usize {
    10
}

fn usual_eta() -> usize {
    3
}

/// What a setting may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// A number between two.
    Uniform([f64; 2]),
    /// A number between two, its logarithm uniform.
    Log([f64; 2]),
    /// A whole number from one to another.
    Whole([u64; 2]),
    /// A whole number from one to another, its logarithm uniform.
    LogWhole([u64; 2]),
    /// One of these.
    OneOf(Vec<toml::Value>),
}

impl Search {
    /// What about it cannot be used.
    pub(super) fn problem(&self) -> Option<Error> {
        let too_few = |name: &str, found: usize, least: usize| {
            let error = || CoreError::setting(name, found, format!("{least} or more"));
            (found < least).then(|| error().into())
        };
        too_few("search.trials", self.trials, 1).or_else(|| match self.strategy {
            Strategy::Random {} => None,
            Strategy::Tpe { startup } => too_few("search.strategy.tpe.startup", startup, 2),
            Strategy::Halving { eta } => too_few("search.strategy.halving.eta", eta, 2),
        })
    }
}

impl Space {
    /// The value at `share`, from 0 to 1, of the space.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two whole numbers is a whole number; places are below a list's length"
    )]
    pub fn at(&self, share: f64) -> toml::Value {
        let between = |[from, to]: [f64; 2]| from + (to - from) * share;
        let log = |[from, to]: [f64; 2]| between([from.ln(), to.ln()]).exp();
        // Each whole number has the same part of the space; 1 is in that of the last.
        let whole = |[from, to]: [u64; 2]| [from as f64, to as f64 + 1.0 - 1e-9];
        match self {
            Self::Uniform(range) => toml::Value::Float(between(*range)),
            Self::Log(range) => toml::Value::Float(log(*range).clamp(range[0], range[1])),
            Self::Whole(range) => toml::Value::Integer(between(whole(*range)).floor() as i64),
            Self::LogWhole(range) => toml::Value::Integer(log(whole(*range)).floor() as i64),
            Self::OneOf(values) => {
                let place = (share * values.len() as f64) as usize;
                values[place.min(values.len() - 1)].clone()
            }
        }
    }

    /// Shares at which it is looked at before anything is tried: of a list every value, else both ends.
    fn samples(&self) -> Vec<f64> {
        match self.categories() {
            Some(n) => (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect(),
            None => vec![0.0, 1.0],
        }
    }

    /// How many different values there are, where they have no order.
    pub fn categories(&self) -> Option<usize> {
        match self {
            Self::OneOf(values) => Some(values.len()),
            _ => None,
        }
    }

    /// What about it cannot be used.
    fn problem(&self) -> Option<&'static str> {
        let ascends = |[from, to]: [f64; 2]| from.is_finite() && to.is_finite() && from < to;
        match self {
            Self::Uniform(range) if !ascends(*range) => Some("two numbers, the smaller one first"),
            Self::Log(range) if !ascends(*range) || range[0] <= 0.0 => {
                Some("two numbers above 0, the smaller one first")
            }
            Self::Whole([from, to]) if from >= to => {
                Some("two whole numbers, the smaller one first")
            }
            Self::LogWhole([from, to]) if from >= to || *from == 0 => {
                Some("two whole numbers above 0, the smaller one first")
            }
            Self::OneOf(values) if values.len() < 2 => Some("two values or more"),
            _ => None,
        }
    }
}

impl Arm {
    /// The setting of its recommender with these keys, such as `training.epochs`, if there is one.
    pub(crate) fn setting(&self, keys: &str) -> Option<toml::Value> {
        let written = toml::Value::try_from(&self.recommender).ok()?;
        let settings = written.get(self.recommender.name())?;
        keys.split('.').try_fold(settings, |value, key| value.get(key)).cloned()
    }

    /// The arm with these settings of its recommender, each by its keys, such as `training.epochs`; it
    /// has no space any more.
    ///
    /// # Errors
    /// If there is no such setting or it cannot have this value.
    pub fn with<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, toml::Value)>,
    ) -> Result<Self> {
        let name = self.recommender.name();
        let mut written = toml::Value::try_from(&self.recommender)
            .map_err(|error| Error::Serialise(error.to_string()))?;
        for (keys, value) in settings {
            let steps = std::iter::once(name).chain(keys.split('.'));
            set(&mut written, &steps.collect::<Vec<&str>>(), value).map_err(|known| {
                let found = format!("{keys:?}");
                let expected = format!("a setting of {name}, here one of {}", known.join(", "));
                CoreError::Setting { name: "space".to_owned(), found, expected }
            })?;
        }
        let recommender: AnyRecommender =
            written.try_into().map_err(|error: toml::de::Error| {
                let (found, expected) = (error.message().to_owned(), format!("settings of {name}"));
                CoreError::Setting { name: "space".to_owned(), found, expected }
            })?;
        match recommender.as_dyn().problems().into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { recommender, space: BTreeMap::new(), ..self.clone() }),
        }
    }

    /// What about its space cannot be used: the keys, and why.
    pub(super) fn space_problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (keys, space) in &self.space {
            let problem = match space.problem() {
                Some(expected) => Some(format!("expected {expected}")),
                // Between two ends there are too many to look at.
                None => space.samples().into_iter().find_map(|share| {
                    let changed = self.with([(&keys[..], space.at(share))]);
                    changed.err().map(|error| error.to_string())
                }),
            };
            problems.extend(problem.map(|problem| (keys.clone(), problem)));
        }
        problems
    }
}

/// Changes what stands at `steps`; fails with what stands there instead.
fn set(
    value: &mut toml::Value,
    steps: &[&str],
    new: toml::Value,
) -> std::result::Result<(), Vec<String>> {
    let Some((first, rest)) = steps.split_first() else {
        *value = new;
        return Ok(());
    };
    let table = value.as_table_mut().ok_or_else(Vec::new)?;
    match table.get_mut(*first) {
        Some(inner) => set(inner, rest, new),
        None => Err(table.keys().cloned().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_goes_from_one_end_to_the_other() {
        let ends = |space: Space| [space.at(0.0), space.at(1.0)];
        let float = toml::Value::Float;
        let close = |found: &toml::Value, value: f64| {
            assert!((found.as_float().unwrap() - value).abs() < 1e-12, "{found} {value}");
        };
        let [low, high] = ends(Space::Log([1e-4, 1e-2]));
        close(&low, 1e-4);
        close(&high, 1e-2);
        close(&Space::Log([1e-4, 1e-2]).at(0.5), 1e-3);
        assert_eq!(ends(Space::Uniform([0.0, 0.5])), [float(0.0), float(0.5)]);
        assert_eq!(ends(Space::Whole([3, 5])), [3, 5].map(toml::Value::Integer));
        assert_eq!(ends(Space::LogWhole([1, 1000])), [1, 1000].map(toml::Value::Integer));
        let one = Space::OneOf(vec![toml::Value::Integer(64), toml::Value::Integer(128)]);
        assert_eq!(
            [0.0, 0.49, 0.5, 1.0].map(|share| one.at(share).as_integer().unwrap()),
            [64, 64, 128, 128]
        );
    }

    #[test]
    fn whatever_learns_says_for_how_many_epochs() {
        let tuned = "text-language-model = { tuning = { epochs = 7 } }";
        for learner in [
            "language-model = { training = { epochs = 7 } }",
            "text-to-text = { training = { epochs = 7 } }",
            tuned,
        ] {
            let sharded = format!("sharded = {{ shards = 2, recommender = {{ {learner} }} }}");
            for recommender in [learner, &sharded] {
                let text = format!("name = \"arm\"\nrecommender = {{ {recommender} }}");
                let arm: Arm = toml::from_str(&text).unwrap();
                let said: Vec<_> = EPOCHS.iter().filter_map(|keys| arm.setting(keys)).collect();
                assert_eq!(said, [toml::Value::Integer(7)], "{recommender}");
            }
        }
    }

    #[test]
    fn every_whole_number_has_the_same_part_of_its_space() {
        let mut n = [0; 3];
        for i in 0..3000 {
            let value = Space::Whole([3, 5]).at((f64::from(i) + 0.5) / 3000.0);
            n[usize::try_from(value.as_integer().unwrap()).unwrap() - 3] += 1;
        }
        assert_eq!(n, [1000; 3]);
    }
}
