//! What can recommend: controls and language models.

use std::path::Path;

use tastemaker_core::catalog::words;
use tastemaker_core::splits::{Part, SplitSets};
use tastemaker_core::{Dataset, ItemId, RecQuery, Recommender, SeedTree, registry};
use tastemaker_eval::Evaluator;
use tastemaker_eval::metrics::{AnyMetric, Ndcg};

use crate::Result;
use crate::memorisation::{MemorisationProbe, Memorised};
use crate::prompts::Shown;
use crate::study::costs;
use crate::train::{Observer, StageCost};
use crate::verbalizers::AnyVerbalizer;

mod bm25;
mod ease;
mod item_knn;
mod language_model;
mod most_popular;
mod sharded;
mod text_language_model;
mod text_similarity;
mod text_to_text;

pub use bm25::Bm25;
pub use ease::Ease;
pub use item_knn::ItemKnn;
pub use language_model::{
    ADAPTERS_FILE, Asked, Auxiliary, CHECKPOINT_FILE, Elsewhere, FewShot, ItemFeatures, ItemTexts,
    LanguageModel, MODEL_FILE, Others, Pretraining, Scoring, TextAdaptor, TextCodes,
    TextInitialise,
};
pub use most_popular::MostPopular;
pub use sharded::Sharded;
pub(crate) use sharded::shard_folder;
pub use text_language_model::{TextLanguageModel, Tuning};
pub use text_similarity::TextSimilarity;
pub use text_to_text::{ItemNames, Learnt, TextTask, TextToText, Tokens};

/// What a recommender learns from. Nothing later than the training part may be looked at, but by
/// validation, which may choose.
#[derive(Clone, Copy)]
pub struct FitContext<'a> {
    /// The data set.
    pub data: &'a Dataset,
    /// Which interactions are learnt from.
    pub split: &'a SplitSets,
    /// The run's seeds.
    pub seeds: SeedTree,
    /// The run's folder, where an interrupted fit goes on and a fit that ended is read back;
    /// `None` keeps nothing.
    pub checkpoints: Option<&'a Path>,
    /// The folder of pre-trained models, which runs share; `None` keeps nothing.
    pub pretrained: Option<&'a Path>,
    /// What is beside the study's data.
    pub others: &'a Others,
    /// Whether validation ranks items of the history again, as the evaluation will.
    pub allow_seen: bool,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
}

/// What would be learnt from, for a look before anything is.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The data set.
    pub data: &'a Dataset,
    /// Which interactions would be learnt from.
    pub split: &'a SplitSets,
    /// Data beside the study's.
    pub others: &'a Others,
}

/// A recommender's settings, which learn a recommender from data.
pub trait FitRecommender {
    /// Learns from the training part.
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>>;

    /// The recommender of a fit that has ended, from the run's folder. What learns in seconds is
    /// not kept and learns again.
    fn restore(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        self.fit(context)
    }

    /// Why this cannot learn from what is given, found before anything is learnt.
    fn unsuitable(&self, _given: &Given<'_>) -> Vec<crate::Error> {
        Vec::new()
    }

    /// Whether it can rank among candidates alone and not over the whole catalog.
    fn needs_candidates(&self) -> bool {
        false
    }

    /// What a model over text is told for `query`; `None` for what is told nothing in words.
    fn prompt(&self, _context: &FitContext<'_>, _query: &RecQuery<'_>) -> Result<Option<Shown>> {
        Ok(None)
    }

    /// Whether the pre-trained model that is asked, or whose embeddings are read, knows the data by heart;
    /// `None` where there is none.
    fn memorised(
        &self,
        _context: &FitContext<'_>,
        _probe: &MemorisationProbe,
    ) -> Result<Option<Memorised>> {
        Ok(None)
    }

    /// Why each item suits whom it is recommended to, in the model's own words; `None` for what writes
    /// none.
    fn explain(
        &self,
        _context: &FitContext<'_>,
        _asked: &[(RecQuery<'_>, ItemId)],
    ) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// Everything about the settings that cannot be used.
    fn problems(&self) -> Vec<crate::Error> {
        Vec::new()
    }
}

registry! {
    /// Every recommender a study can name.
    pub enum AnyRecommender: FitRecommender {
        /// Items whose texts are like those of the history (Robertson's BM25).
        "bm25" => Bm25(Bm25),
        /// A linear model from items to items in closed form (EASE).
        "ease" => Ease(Ease),
        /// Items that were met by the same users as those of the history.
        "item-knn" => ItemKnn(ItemKnn),
        /// A language model over item sequences.
        "language-model" => LanguageModel(LanguageModel),
        /// The items met most often in the training part, the same for everybody.
        "most-popular" => MostPopular(MostPopular),
        /// Another recommender, fitted once a shard of the users, so that it can forget some (SISA).
        "sharded" => Sharded(Sharded),
        /// A pre-trained language model over text that is told of a user.
        "text-language-model" => TextLanguageModel(TextLanguageModel),
        /// Items whose texts a pre-trained sentence encoder finds like those of the history.
        "text-similarity" => TextSimilarity(TextSimilarity),
        /// A language model from texts to texts that learns several families of tasks (P5).
        "text-to-text" => TextToText(TextToText),
    }
}

impl AnyRecommender {
    /// What learns: itself, or what it fits once a shard.
    pub(crate) fn learner(&self) -> &Self {
        match self {
            Self::Sharded(sharded) => &sharded.recommender,
            learner => learner,
        }
    }

    /// [`AnyRecommender::learner`], to be changed.
    pub(crate) fn learner_mut(&mut self) -> &mut Self {
        match self {
            Self::Sharded(sharded) => &mut sharded.recommender,
            learner => learner,
        }
    }

    /// Whether it names items as it likes, so that it can name what does not exist.
    pub(crate) fn writes_freely(&self) -> bool {
        match self.learner() {
            Self::TextLanguageModel(model) => {
                matches!(model.verbalizer, AnyVerbalizer::WrittenTitles(_))
            }
            _ => false,
        }
    }

    /// Whether anything of it follows from what users have met.
    fn learns_from_users(&self) -> bool {
        match self.learner() {
            Self::Bm25(_) | Self::TextSimilarity(_) => false,
            Self::TextLanguageModel(model) => model.tuning.is_some(),
            _ => true,
        }
    }

    /// Whether it takes long to learn, and what it has learnt is kept in the run's folder.
    pub(crate) fn keeps_weights(&self) -> bool {
        match self.learner() {
            Self::LanguageModel(_) | Self::TextToText(_) => true,
            Self::TextLanguageModel(model) => model.tuning.is_some(),
            _ => false,
        }
    }

    /// What of its settings cannot be used, as far as they stand by themselves.
    pub(crate) fn problems_of_parts(&self) -> Vec<crate::Error> {
        match self {
            Self::LanguageModel(model) => model.problems_of_parts(),
            Self::Sharded(sharded) => sharded.problems_where(Self::problems_of_parts),
            other => other.as_dyn().problems(),
        }
    }
}

/// Fits a recommender and writes down what that took, unless it did so itself, stage by stage.
pub(crate) fn measured(
    recommender: &AnyRecommender,
    context: &FitContext<'_>,
) -> Result<Box<dyn Recommender>> {
    let meter = context.observer.meter();
    if let Some(meter) = meter {
        meter.reset();
    }
    let fitted = recommender.as_dyn().fit(context)?;
    if let (Some(meter), Some(folder)) = (meter, context.checkpoints)
        && costs::read(folder)?.is_empty()
    {
        let (stage, cost, epochs) = ("fit".to_owned(), meter.read(), None);
        let fit = StageCost { stage, trained_parameters: 0, epochs, cost, spent: None };
        costs::write(folder, &[fit])?;
    }
    Ok(fitted)
}

/// NDCG at `k` over the validation targets, which chooses epochs.
fn validate(recommender: &dyn Recommender, context: &FitContext<'_>, k: usize) -> Result<f64> {
    let evaluator =
        Evaluator::new(vec![AnyMetric::Ndcg(Ndcg { k })])?.allow_seen(context.allow_seen);
    let (data, split) = (context.data, context.split);
    let evaluation =
        evaluator.evaluate(recommender, data, split, Part::Validation, &context.seeds)?;
    Ok(evaluation.summary.metrics[0].mean)
}

/// Why no epoch can be chosen by validation.
fn unchosen(data: &Dataset, split: &SplitSets) -> Option<&'static str> {
    let nobody = split.iter_cases(data, Part::Validation).next().is_none();
    nobody.then_some("no user has a validation target, by which the epoch is chosen")
}

/// Whether a word is written about any item.
pub(crate) fn has_texts(data: &Dataset) -> bool {
    let mut items = (0..).map(ItemId).take(data.n_items());
    items.any(|item| words(&data.catalog.text(item)).next().is_some())
}

/// What went wrong, as the recommender of this name says it.
fn failed(recommender: &'static str) -> impl Fn(crate::Error) -> tastemaker_core::Error {
    move |error| match error {
        crate::Error::Core(error) => error,
        error => tastemaker_core::Error::Recommender { recommender, source: error.into() },
    }
}

fn without_texts(recommender: &'static str) -> crate::Error {
    let reason = "the items have no texts".to_owned();
    tastemaker_core::Error::Unsuitable { recommender, reason }.into()
}

/// The items of a history once each, by number.
fn distinct(history: &[ItemId]) -> Vec<ItemId> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

/// A setting is one of the numbers that can be used.
pub(crate) fn check<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Option<crate::Error> {
    let expected = || format!("a number from {} to {}", range.start(), range.end());
    (!range.contains(&value)).then(|| {
        let (name, found) = (name.to_owned(), value.to_string());
        tastemaker_core::Error::Setting { name, found, expected: expected() }.into()
    })
}
