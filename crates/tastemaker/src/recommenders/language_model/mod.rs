//! A language model over item sequences.

mod features;
mod few_shot;
mod files;
mod fitting;
mod generated;
mod pretraining;
mod privacy;
mod problems;
mod texts;
mod trained;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, Recommender, UserId, artifact};
use tastemaker_nn::adapters::AnyAdapter;
use tastemaker_nn::backbones::{AnyBackbone, Decoder, View};
use tastemaker_nn::transformer::{Sides, Transformer};

pub(super) use self::files::tensors;
use self::files::{read, write};
use self::fitting::Fitting;
use self::generated::{Generated, Tokenised};
use self::trained::{Told, Trained};
use super::{FitContext, FitRecommender, Given, unchosen};
use crate::memorisation::{MemorisationProbe, Memorised};
use crate::objectives::{AnyObjective, Softmax};
use crate::paradigms::{AnyParadigm, Pretrain, TrainPlan};
use crate::text::TextEmbeddings;
use crate::tokenisations::Tokenisation;
use crate::train::{
    Profiles, Schedule, Training, profile_attributes, sixteenth, unexchangeable, ungroupable,
    unknown_attribute,
};
use crate::{Error, Result};

pub use self::features::ItemFeatures;
pub use self::few_shot::FewShot;
pub use self::files::{ADAPTERS_FILE, CHECKPOINT_FILE, MODEL_FILE};
pub use self::pretraining::{Asked, Elsewhere, Others, Pretraining};
pub use self::texts::{ItemTexts, TextAdaptor, TextCodes, TextInitialise};

/// The keys of how a model is pre-trained.
const PRETRAINING: &str = "pretraining.training";

/// Tokens after those of the items: the mask and the pseudo-mask.
const SPECIAL_TOKENS: usize = 2;

/// A backbone that reads a history as a sequence of item tokens and foretells the next one.
///
/// # What it does
/// Carries out the plan of its paradigm: trains the backbone, or parts of it, or what was put
/// into it, with the objective on the training part, and keeps the epoch with the best NDCG over
/// the validation targets. It recommends from a history alone, so it serves users it has never
/// seen.
///
/// # When not to use it
/// Items that nobody met in training have embeddings that learnt nothing, unless they are known by
/// `features` or `texts`.
///
/// # References
/// Kang and McAuley 2018 (SASRec); Sun et al. 2019 (BERT4Rec); Klenitskiy and Vasilev 2023; the
/// paradigms are those of Liu et al. 2023, *Pre-train, prompt and recommendation*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LanguageModel {
    /// The architecture.
    pub backbone: AnyBackbone,
    /// What items are known by beside themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<ItemFeatures>,
    /// What a pre-trained language model reads of items' texts, and what becomes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<ItemTexts>,
    /// What items are called, token by token; each is a token of its own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenisation: Option<Tokenisation>,
    /// What it learns.
    pub objective: AnyObjective,
    /// What it learns at the same time, or before, or after: a curriculum.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auxiliary: Vec<Auxiliary>,
    /// How it is trained.
    pub training: Training,
    /// What learns, and through which prompt.
    pub paradigm: AnyParadigm,
    /// What the model has learnt before, for every paradigm but `pretrain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretraining: Option<Pretraining>,
    /// How much of the training part it is adapted to; pre-training sees all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub few_shot: Option<FewShot>,
    /// How the catalog is scored once it is trained.
    pub scoring: Scoring,
}

/// An objective beside the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Auxiliary {
    /// What is learnt.
    pub objective: AnyObjective,
    /// How much it counts beside the first, which counts 1, and when.
    #[serde(default)]
    pub schedule: Schedule,
}

/// How a catalog is scored. The lists are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scoring {
    /// Every item in f32.
    #[default]
    F32,
    /// Every item in eight bits, and in f32 those that can still be among the best. Reads a
    /// quarter of the bytes, which pays for a user at a time over a catalog that outgrows the
    /// cache; needs a quarter more memory.
    Int8,
}

impl Default for LanguageModel {
    fn default() -> Self {
        Self {
            backbone: AnyBackbone::Decoder(Decoder::default()),
            features: None,
            texts: None,
            tokenisation: None,
            objective: AnyObjective::Softmax(Softmax::default()),
            auxiliary: vec![],
            training: Training::default(),
            paradigm: AnyParadigm::Pretrain(Pretrain::default()),
            pretraining: None,
            few_shot: None,
            scoring: Scoring::default(),
        }
    }
}

impl LanguageModel {
    /// What is learnt, one stage after the other.
    ///
    /// # Errors
    /// If the backbone's numbers do not fit.
    pub fn plan(&self) -> Result<TrainPlan> {
        let plan = self.paradigm.as_dyn().plan(self.backbone.as_dyn().shape()?);
        Ok(if self.permutation().is_some() { plan.permuting() } else { plan })
    }

    /// What is pre-trained on, if that is other data.
    fn elsewhere(&self) -> Option<&Elsewhere> {
        self.pretraining.as_ref().filter(|before| !before.skip)?.elsewhere.as_ref()
    }

    /// In how many groups codes find the embeddings of those that were learnt elsewhere, and in how many
    /// epochs.
    fn permutation(&self) -> Option<(usize, usize)> {
        self.elsewhere().and(self.texts.as_ref())?.permutation()
    }

    /// Fills in every number that follows from another, so that the study shows them all.
    pub fn resolve(&mut self) {
        if let Ok(backbone) = self.backbone.as_dyn().resolved() {
            self.backbone = backbone;
        }
        if let Some(pretraining) = &mut self.pretraining {
            pretraining.objective.get_or_insert_with(|| self.objective.clone());
            // No prompt stands before pre-training.
            let own = || Training { counterfactual: vec![], ..self.training.clone() };
            pretraining.training.get_or_insert_with(own);
        }
    }

    /// What a token of the backbone sees.
    fn sides(&self) -> Sides {
        sides(&self.backbone)
    }

    /// What the backbone is told beside items, if anything.
    fn told(&self, data: &Dataset) -> Result<Option<Told>> {
        let shape = self.backbone.as_dyn().shape()?;
        let (views, intervals) = (shape.views, shape.style.intervals);
        Ok((intervals || !views.is_empty()).then(|| Told {
            views,
            intervals,
            interactions: Arc::new(data.interactions.clone()),
            prompted_return: self.objective.as_dyn().prompted_return().map_or(0, sixteenth),
        }))
    }

    /// The attributes that a personal prompt is made from, if there is one.
    fn attributes(&self) -> Option<Vec<String>> {
        let plan = self.plan().ok()?;
        plan.inserted().find_map(|adapter| match adapter {
            AnyAdapter::PersonalPrompt(personal) => Some(personal.attributes.clone()),
            _ => None,
        })
    }

    /// What this is learnt from: items, or their tokens.
    fn taught_from<'a>(
        context: &FitContext<'a>,
        tokenised: Option<&'a Tokenised>,
    ) -> FitContext<'a> {
        match tokenised {
            Some(Tokenised { data, split, .. }) => FitContext { data, split, ..*context },
            None => *context,
        }
    }

    /// Whether items have embeddings of their own.
    fn own(&self) -> bool {
        self.features.as_ref().is_none_or(|features| features.own)
            && self.texts.as_ref().is_none_or(ItemTexts::own)
    }

    /// What an encoder makes of the items' texts, if they are known by it.
    fn read_texts(&self, context: &FitContext<'_>) -> Result<Option<TextEmbeddings>> {
        let precision = self.training.precision;
        self.texts.as_ref().map(|texts| texts.read(context, precision)).transpose()
    }

    /// A transformer with fresh weights, over items with these `texts`.
    fn fresh(
        &self,
        context: &FitContext<'_>,
        texts: Option<TextEmbeddings>,
    ) -> Result<Transformer> {
        let vocabulary = context.data.n_items() + SPECIAL_TOKENS;
        let weights = context.seeds.child("weights");
        let device = self.training.device.open()?;
        let mut model = Transformer::on(device, &self.backbone, vocabulary, &weights)?;
        if let Some(features) = &self.features {
            model.add_features(features.rows(context.data), features.own, &weights)?;
        }
        if let (Some(texts), Some(embeddings)) = (&self.texts, texts) {
            // Codes that are permuted are found here, whatever those elsewhere are.
            let elsewhere = self.elsewhere().filter(|_| self.permutation().is_none());
            let reference = match elsewhere.filter(|_| texts.n_codes().is_some()) {
                Some(elsewhere) => {
                    let other = context.others.read(elsewhere)?;
                    let data = &other.0.dataset;
                    self.read_texts(&FitContext { data, ..*context })?
                }
                None => None,
            };
            texts.put((embeddings, reference), &mut model, &weights)?;
        }
        Ok(model)
    }

    /// Tells this run from every other, in a checkpoint's own words.
    fn run(&self, context: &FitContext<'_>, texts: Option<&TextEmbeddings>) -> Result<String> {
        // However it scores, it is the same model.
        identity(&Self { scoring: Scoring::default(), ..self.clone() }, context, texts)
    }

    /// Every objective of the task itself.
    fn objectives(&self) -> impl Iterator<Item = Keyed<'_>> {
        let own = ("objective".to_owned(), &self.objective);
        std::iter::once(own).chain(auxiliary("auxiliary", &self.auxiliary))
    }

    /// Every objective, those of pre-training too.
    fn all_objectives(&self) -> impl Iterator<Item = Keyed<'_>> {
        self.objectives().chain(self.pretraining.iter().flat_map(Pretraining::objectives))
    }

    /// Why `objectives`, these ways of training, the features or the backbone's views cannot be asked
    /// about `data`.
    fn unsuited<'o>(
        &self,
        objectives: impl Iterator<Item = Keyed<'o>>,
        trainings: &[(&str, &Training)],
        (data, split): (&Dataset, &SplitSets),
    ) -> Vec<Error> {
        let of_objective = |(keys, objective): Keyed<'o>| {
            let why = objective.as_dyn().unsuitable(data)?;
            Some(unsuitable(&keys, format!("objective {}: {why}", objective.name())))
        };
        let mut problems: Vec<Error> = objectives.filter_map(of_objective).collect();
        problems.extend(trainings.iter().filter_map(|(keys, training)| {
            let why = ungroupable(training.balance.as_ref()?, data)?;
            Some(unsuitable(&format!("{keys}.balance"), format!("balance: {why}")))
        }));
        if let Some(features) = &self.features {
            let why = features.unsuitable(data);
            problems.extend(why.map(|why| unsuitable("features", format!("features: {why}"))));
        }
        if let (Some(texts), Ok(shape)) = (&self.texts, self.backbone.as_dyn().shape()) {
            problems.extend(texts.unsuitable(data, shape.embedding_size));
        }
        let shape = self.backbone.as_dyn().shape().ok();
        let of_time = shape.is_some_and(|shape| shape.views.iter().any(|v| v != View::Return));
        let intervals = shape.is_some_and(|shape| shape.style.intervals);
        for (has, what, key) in [
            (of_time, "has views of", "backbone.views"),
            (intervals, "looks at intervals between", "backbone.intervals"),
        ] {
            if has && data.interactions.all_times().is_none() {
                let reason = format!("the backbone {what} times, which the data lacks");
                problems.push(unsuitable(key, reason));
            }
        }
        let tokenisation = self.tokenisation.as_ref().and_then(|of| of.unsuitable(data));
        problems.extend(tokenisation.map(|problem| problem.at("tokenisation")));
        if taught(data, split).next().is_none() {
            let reason = "no user has two interactions in the training part".to_owned();
            problems.push(unsuitable("", reason));
        }
        problems
    }

    /// [`LanguageModel::unsuited`] of everything that is learnt from the study's own data.
    fn unsuited_here(&self, data: &Dataset, split: &SplitSets) -> Vec<Error> {
        let here = self.pretraining.as_ref().filter(|b| !b.skip && b.elsewhere.is_none());
        let before = here.into_iter().flat_map(Pretraining::objectives);
        let mut trainings = vec![("training", &self.training)];
        trainings.extend(here.and_then(|before| Some((PRETRAINING, before.training.as_ref()?))));
        let objectives = self.objectives().chain(before);
        let mut problems = self.unsuited(objectives, &trainings, (data, split));
        let whose = ("users", "categories or numbers");
        let unknown = self
            .attributes()
            .and_then(|names| unknown_attribute(&names, &profile_attributes(data), whose));
        let why = unknown.map(|why| format!("personal-prompt: {why}"));
        problems.extend(why.map(|why| unsuitable("paradigm", why)));
        problems.extend(unexchangeable(&self.training.counterfactual, data).map(|why| {
            let why = format!("counterfactual: {why}");
            unsuitable("training.counterfactual", why)
        }));
        problems.extend(self.few_shot.and_then(|few| few.unsuited(data, split)));
        let objective_before = here.map(|b| b.objective.as_ref().unwrap_or(&self.objective));
        let mut learnt = std::iter::once(&self.objective).chain(objective_before).zip(&trainings);
        let chooses = |(objective, (_, training)): (&AnyObjective, &(&str, &Training))| {
            objective.as_dyn().recommends() && training.privacy.is_none()
        };
        let unchosen = learnt.any(chooses).then(|| unchosen(data, split));
        problems.extend(unchosen.flatten().map(|why| unsuitable("", why.to_owned())));
        let users = taught(data, split).count();
        let of_privacy = trainings.iter().filter_map(|(keys, training)| {
            Some(Error::from(training.privacy?.unsuited(users)?).at(keys))
        });
        problems.extend(of_privacy);
        problems
    }
}

/// What a model could not do, as a recommender says it.
fn failed(error: tastemaker_nn::Error) -> tastemaker_core::Error {
    tastemaker_core::Error::Recommender { recommender: "language-model", source: error.into() }
}

/// What a token of this backbone sees.
fn sides(backbone: &AnyBackbone) -> Sides {
    if backbone.as_dyn().is_bidirectional() { Sides::Both } else { Sides::Causal }
}

/// Why the data cannot be learnt from by the setting with these keys.
fn unsuitable(keys: &str, reason: String) -> Error {
    let recommender = "language-model";
    Error::from(tastemaker_core::Error::Unsuitable { recommender, reason }).at(keys)
}

/// The users that teach anything: those with two interactions in the training part.
fn taught(data: &Dataset, split: &SplitSets) -> impl Iterator<Item = UserId> {
    data.interactions.users().filter(move |user| split.cuts(*user).train_end >= 2)
}

/// An objective, and the keys of its setting.
type Keyed<'a> = (String, &'a AnyObjective);

/// The objectives of `auxiliary`, which stands at `keys`.
fn auxiliary<'a>(
    keys: &'static str,
    auxiliary: &'a [Auxiliary],
) -> impl Iterator<Item = Keyed<'a>> {
    let all = auxiliary.iter().enumerate();
    all.map(move |(i, auxiliary)| (format!("{keys}.{i}.objective"), &auxiliary.objective))
}

/// SHA-256 of everything that a trained model follows from.
fn identity(
    settings: &impl Serialize,
    context: &FitContext<'_>,
    texts: Option<&TextEmbeddings>,
) -> Result<String> {
    let settings =
        serde_json::to_string(settings).map_err(|error| Error::Serialise(error.to_string()))?;
    let seed = context.seeds.seed().to_string();
    let allow_seen = context.allow_seen.to_string();
    let mut parts =
        vec![&settings[..], &context.data.hash, context.split.hash(), &seed, &allow_seen];
    parts.extend(texts.map(|texts| &texts.identity[..]));
    Ok(artifact::sha256(parts.join("\n").as_bytes()))
}

impl FitRecommender for LanguageModel {
    /// The sentence encoder's by which items are known, where they are.
    fn memorised(
        &self,
        context: &FitContext<'_>,
        probe: &MemorisationProbe,
    ) -> Result<Option<Memorised>> {
        let encoder = self.texts.as_ref().map(|texts| probe.of_encoder(texts.model(), context));
        encoder.transpose()
    }

    fn problems(&self) -> Vec<Error> {
        let mut problems = self.problems_of_parts();
        problems.extend(self.objective_problems());
        problems.extend(self.paradigm_problems());
        problems.extend(self.privacy_problems());
        problems
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<Error> {
        let mut problems = self.unsuited_here(given.data, given.split);
        if let Some(before) = &self.pretraining
            && let Some(elsewhere) = self.elsewhere()
        {
            match given.others.read(elsewhere) {
                Ok(other) => {
                    let (data, split) = (&other.0.dataset, &other.1);
                    let training = before.training(self);
                    let trainings = [(PRETRAINING, training)];
                    let unsuited = self.unsuited(before.objectives(), &trainings, (data, split));
                    // What has no features cannot have them in common.
                    if unsuited.is_empty() && problems.is_empty() {
                        problems.extend(self.shared_features(data, given.data).err());
                    }
                    problems.extend(unsuited);
                }
                Err(problem) => problems.push(problem.at("pretraining.elsewhere")),
            }
        }
        problems
    }

    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let unsuited = self.unsuited_here(context.data, context.split);
        if let Some(problem) = self.problems().into_iter().chain(unsuited).next() {
            return Err(problem);
        }
        let mut settings = self.clone();
        settings.resolve();
        let tokenised = settings.tokenisation.as_ref();
        let tokenised = tokenised.map(|of| Tokenised::new(of, context)).transpose()?;
        let items = context;
        let context = &Self::taught_from(context, tokenised.as_ref());
        let texts = settings.read_texts(context)?;
        let run = settings.run(context, texts.as_ref())?;
        let profiles =
            settings.attributes().map(|names| Profiles::new(&names, context.data, context.split));
        let values = profiles.as_ref().map_or(0, Profiles::n_values);
        let mut model = settings.fresh(context, texts)?.with_values(values);
        let plan = settings.plan()?;
        let tokenised = tokenised.as_ref().map(|tokenised| (tokenised, items.data));
        let fitting =
            Fitting { settings: &settings, context, plan, run: &run, profiles, tokenised };
        match context.checkpoints {
            Some(folder) if folder.join(MODEL_FILE).exists() => {
                fitting.insert_all(&mut model)?;
                read(folder, &model, &run)?;
            }
            folder => {
                let stages = fitting.run(&mut model)?;
                if let Some(folder) = folder {
                    write(folder, &model, (&settings, &run, stages), context.data.n_items())?;
                    fitting.remove_checkpoints(folder)?;
                }
            }
        }
        let n_items = context.data.n_items();
        let model = model.frozen(self.training.precision)?;
        let model = match self.scoring {
            Scoring::F32 => model,
            Scoring::Int8 => model.ranking_by_int8(n_items),
        };
        let (sides, prompt) = (self.sides(), self.paradigm.as_dyn().item_prompt());
        if let Some((Tokenised { codes, beams, .. }, _)) = tokenised {
            let (codes, beams) = (Arc::clone(codes), *beams);
            return Ok(Box::new(Generated { model, codes, beams, prompt }));
        }
        let told = self.told(context.data)?;
        let profiles = fitting.profiles;
        Ok(Box::new(Trained { model, sides, n_items, prompt, told, profiles }))
    }

    fn restore(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let file = context.checkpoints.map(|folder| folder.join(MODEL_FILE));
        match file {
            Some(path) if !path.exists() => {
                let problem = "the model file of a run that has ended is missing".to_owned();
                Err(tastemaker_nn::Error::Checkpoint { path, problem }.into())
            }
            _ => self.fit(context),
        }
    }
}
