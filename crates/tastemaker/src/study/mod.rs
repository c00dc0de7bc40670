//! What is compared with what: one file that says everything that influences a number.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tastemaker_core::Dataset;
use tastemaker_core::prepare::PrepareOptions;
use tastemaker_core::sources::AnySource;
use tastemaker_core::splits::{AnySplit, Part, SplitSets};
use tastemaker_endpoint::Hub;
use tastemaker_eval::metrics::{AnyMetric, Need};
use tastemaker_eval::{CandidateLists, Candidates, Embedded, Evaluator, Targets};
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::TextEncoder;

use crate::error::setting;
use crate::recommenders::{AnyRecommender, has_texts};
use crate::text::TextEmbeddings;
use crate::{Error, Result};

pub(crate) mod costs;
mod document;
mod events;
mod folder;
mod hub;
mod inherit;
mod places;
mod problem;
mod regime;
mod resolve;
mod search;
pub(crate) mod users;
mod whole;

pub use events::EventLog;
pub use folder::{RunFolder, RunResult, study_folder};
pub use places::Places;
pub use problem::{Place, Problem};
pub use resolve::{parse, parse_all, read};
pub(crate) use search::EPOCHS;
pub use search::{Search, Space, Strategy};
pub use users::UserValues;
pub use whole::WholeStudy;

/// A study, complete and checked: nothing in it still means "the default".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Study {
    /// Name and seeds.
    pub study: About,
    /// Where the data comes from.
    pub dataset: AnySource,
    /// How it is cleaned.
    pub prepare: PrepareOptions,
    /// Which interactions are learnt from, which choose, which test.
    pub split: AnySplit,
    /// What is compared.
    pub arm: Vec<Arm>,
    /// How it is measured.
    pub evaluate: Evaluate,
    /// How settings are searched for, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Models of hubs that it names, which are fetched before it is run.
    #[serde(skip)]
    pub hub: Vec<Hub>,
    /// What whoever started it should know, such as settings of the command line that some arms do
    /// not take over.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A study's name and seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct About {
    /// The name, also of the folder with its runs.
    pub name: String,
    /// Every arm is run once with each seed.
    pub seeds: Vec<u64>,
    /// Which of the file's regimes this is, where there are several; its runs stand in a folder of
    /// this name below the study's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regime: Option<String>,
}

impl About {
    /// The name with that of the regime, as it is shown.
    pub fn title(&self) -> String {
        match &self.regime {
            Some(regime) => format!("{} ({regime})", self.name),
            None => self.name.clone(),
        }
    }
}

/// One named recommender of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Arm {
    /// The name in results, also of the folder with its runs.
    pub name: String,
    /// What recommends.
    pub recommender: AnyRecommender,
    /// What is searched for: settings of the recommender by their keys, such as
    /// `training.learning-rate`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub space: BTreeMap<String, Space>,
    /// Where its settings are written, if they were read from a text.
    #[serde(skip)]
    pub places: Places,
}

impl Arm {
    /// What is wrong with its recommender, at its place.
    pub(crate) fn problem(&self, error: &Error) -> Problem {
        let keys = format!("recommender.{}.{}", self.recommender.name(), error.keys());
        let message = format!("arm {:?}: {error}", self.name);
        Problem { message, place: self.places.find(&keys).cloned() }
    }
}

/// How recommendations are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Evaluate {
    /// The metrics, in the order of the table.
    pub metrics: Vec<AnyMetric>,
    /// Rank the targets among this many sampled items, or of the user's `candidates`, instead of the whole
    /// catalog; 0 is the whole catalog. Metrics then carry `sampled-N` in their names.
    pub sampled: usize,
    /// A file with a list of candidates for each user: the first of these that the user has not met are what
    /// targets are ranked among, as many as `sampled` says, and users without any are not asked about.
    /// Metrics then carry `listed-N` in their names. A line of it is a user, a tabulator and items with
    /// blanks between them, as `LLMRank` publishes them, or it is a table or a TREC run, in the order of its
    /// rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<PathBuf>,
    /// Whether items of the history may be recommended again.
    pub allow_seen: bool,
    /// Ask for these targets alone.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub targets: Targets,
    /// Ask for this many users alone, drawn by the run's seed; 0 are all. The users are the same for
    /// every arm.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub users: usize,
    /// Replace this share of each history by items drawn at random, from 0 to 1: noisy input. Recommenders
    /// learn from what is right.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub noise: f64,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self {
            metrics: AnyMetric::usual(),
            sampled: 0,
            candidates: None,
            allow_seen: false,
            targets: Targets::All,
            users: 0,
            noise: 0.0,
        }
    }
}

impl Evaluate {
    /// Which of the metrics `data` cannot support, and why.
    pub(crate) fn unsuitable(&self, data: &Dataset) -> Vec<Problem> {
        let of_data = self.metrics.iter().filter_map(|metric| metric.unsuitable(data));
        let of_texts = self.encoders().into_iter().filter_map(|(model, metric)| {
            if !has_texts(data) {
                return Some(format!(
                    "{metric} looks at texts of items, of which the data has none"
                ));
            }
            let error = TextEncoder::read(model, Precision::F32).err()?;
            Some(format!("{metric}: {error}"))
        });
        let reasons = of_data.chain(of_texts);
        let mut problems: Vec<Problem> =
            reasons.map(|reason| Problem::new(format!("evaluate.metrics: {reason}"))).collect();
        if let Err(error) = self.candidates_of(data) {
            problems.push(Problem::new(format!("evaluate.candidates: {error}")));
        }
        problems
    }

    /// That a part has nobody who could be asked among candidates.
    pub(crate) fn unasked(&self, data: &Dataset, split: &SplitSets) -> Result<Option<Problem>> {
        let candidates = self.candidates_of(data)?;
        let asks = |part: &Part| {
            split.iter_cases(data, *part).any(|case| candidates.are_for(&case, self.allow_seen))
        };
        let nobody = [Part::Validation, Part::Test].into_iter().find(|part| !asks(part));
        Ok(nobody.filter(|_| self.candidates.is_some()).map(|part| {
            let part = part.name();
            Problem::new(format!(
                "evaluate.candidates: nobody with {part} targets has candidates that are new to them"
            ))
        }))
    }

    /// The sentence encoders that metrics look through, each with the label of a metric.
    fn encoders(&self) -> BTreeMap<&Path, String> {
        let mut encoders = BTreeMap::new();
        for metric in self.metrics.iter().map(AnyMetric::as_dyn) {
            if let Need::Embeddings(model) = metric.needs() {
                encoders.insert(model, metric.label());
            }
        }
        encoders
    }

    /// What metrics must know of the texts of items; embeddings are kept in the folder `kept`.
    pub(crate) fn embedded(
        &self,
        data: &Dataset,
        kept: Option<&Path>,
    ) -> Result<Vec<Arc<Embedded>>> {
        let read = |model: &Path| -> Result<Arc<Embedded>> {
            let TextEmbeddings { width, values, .. } = TextEmbeddings::of_items(
                &data.catalog,
                data.n_items(),
                (model, Precision::F32),
                kept,
            )?;
            Ok(Arc::new(Embedded { model: model.to_owned(), width, values }))
        };
        self.encoders().into_keys().map(read).collect()
    }

    /// The evaluator that these settings describe, over `data`: see [`Evaluate::embedded`].
    pub(crate) fn evaluator_over(&self, data: &Dataset, kept: Option<&Path>) -> Result<Evaluator> {
        let evaluator = self.evaluator(self.candidates_of(data)?)?;
        Ok(evaluator.embedded(self.embedded(data, kept)?))
    }

    /// Among what targets are ranked.
    pub fn candidates_of(&self, data: &Dataset) -> Result<Candidates> {
        Ok(match (&self.candidates, self.sampled) {
            (None, 0) => Candidates::Full,
            (None, n) => Candidates::Sampled { n },
            (Some(path), n) => {
                Candidates::Listed { n, lists: Arc::new(CandidateLists::read(path, data)?) }
            }
        })
    }

    /// The evaluator that these settings describe, among `candidates`; metrics that look at texts need
    /// [`Evaluator::embedded`].
    pub fn evaluator(&self, candidates: Candidates) -> Result<Evaluator> {
        if !(0.0..=1.0).contains(&self.noise) {
            return Err(setting("noise", self.noise, "a share from 0 to 1"));
        }
        if self.candidates.is_some() && self.sampled == 0 {
            let expected = "how many of a user's candidates targets are ranked among, such as 19";
            return Err(setting("sampled", 0, expected));
        }
        let evaluator = Evaluator::new(self.metrics.clone())?;
        let evaluator = evaluator.targets(self.targets).candidates(candidates);
        Ok(evaluator.allow_seen(self.allow_seen).users(self.users).noise(self.noise))
    }
}

impl Study {
    /// The study as a TOML document that reads back as the same study.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Serialise(error.to_string()))
    }

    /// The study with one arm and one seed only, whose settings were searched for if they are.
    #[must_use]
    pub fn one(&self, arm: &Arm, seed: u64) -> Self {
        let study = About { seeds: vec![seed], ..self.study.clone() };
        let arm = Arm { space: BTreeMap::new(), ..arm.clone() };
        Self { study, arm: vec![arm], search: None, hub: vec![], notes: vec![], ..self.clone() }
    }
}
