//! A language model over item sequences.

mod features;
mod files;
mod fitting;
mod pretraining;
mod trained;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, Recommender, artifact};
use tastemaker_nn::adapters::AnyAdapter;
use tastemaker_nn::backbones::{AnyBackbone, Decoder, View};
use tastemaker_nn::transformer::{FEATURES, Sides, TABLE, Transformer};

use self::files::{read, write};
use self::fitting::Fitting;
use self::trained::{Trained, Viewed};
use super::{FitContext, FitRecommender};
use crate::error::setting;
use crate::objectives::{AnyObjective, Softmax};
use crate::paradigms::{AnyParadigm, Pretrain, Stage, Task, TrainPlan};
use crate::train::{Profiles, Schedule, Training, sixteenth, unknown_attribute};
use crate::{Error, Result};

pub use self::features::ItemFeatures;
pub use self::files::{ADAPTERS_FILE, CHECKPOINT_FILE, MODEL_FILE};
pub use self::pretraining::{Elsewhere, Pretraining};

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
/// `features`.
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

/// How much a model is adapted to. Users are taken in the order that the seed decides; only they
/// are learnt from, and only they choose the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FewShot {
    /// This many users.
    Users(usize),
    /// This share of the users, above 0 and up to 1, rounded up.
    Share(f64),
    /// As many users as have this many training interactions together; the last one's are cut.
    Interactions(usize),
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
        Ok(self.paradigm.as_dyn().plan(self.backbone.as_dyn().shape()?))
    }

    /// Fills in every number that follows from another, so that the study shows them all.
    pub fn resolve(&mut self) {
        if let Ok(backbone) = self.backbone.as_dyn().resolved() {
            self.backbone = backbone;
        }
        if let Some(pretraining) = &mut self.pretraining {
            pretraining.objective.get_or_insert_with(|| self.objective.clone());
            pretraining.training.get_or_insert_with(|| self.training.clone());
        }
    }

    /// What a token of the backbone sees.
    fn sides(&self) -> Sides {
        if self.backbone.as_dyn().is_bidirectional() { Sides::Both } else { Sides::Causal }
    }

    /// What the backbone's views look at, if it has any.
    fn views(&self, data: &Dataset) -> Result<Option<Viewed>> {
        let views = self.backbone.as_dyn().shape()?.views;
        Ok((!views.is_empty()).then(|| Viewed {
            views,
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

    /// A transformer with fresh weights.
    fn fresh(&self, context: &FitContext<'_>) -> Result<Transformer> {
        let vocabulary = context.data.n_items() + SPECIAL_TOKENS;
        let weights = context.seeds.child("weights");
        let device = self.training.device.open()?;
        let mut model = Transformer::on(device, &self.backbone, vocabulary, &weights)?;
        if let Some(features) = &self.features {
            model.add_features(features.rows(context.data), features.own, &weights)?;
        }
        Ok(model)
    }

    /// Tells this run from every other, in a checkpoint's own words.
    fn run(&self, context: &FitContext<'_>) -> Result<String> {
        // However it scores, it is the same model.
        identity(&Self { scoring: Scoring::default(), ..self.clone() }, context)
    }

    /// Why the recommender's own objective cannot be what a recommender learns.
    fn objective_problems(&self) -> Vec<Error> {
        let mut problems = Vec::new();
        let (objective, name) = (self.objective.as_dyn(), self.objective.name());
        if !objective.recommends() {
            let expected = "one that foretells items; this one is for pretraining or auxiliary";
            problems.push(setting("objective", name, expected));
        }
        let views = self.backbone.as_dyn().shape().map(|shape| shape.views).unwrap_or_default();
        let needs = self.objectives().any(|o| o.as_dyn().prompted_return().is_some());
        if needs != views.has(View::Return) {
            let expected = if needs { "with view return" } else { "without view return" };
            let whose = format!("the backbone of objective {name}");
            problems.push(setting(&whose, format!("with {:?}", Vec::from(views)), expected));
        }
        let shape = self.backbone.as_dyn().shape().ok();
        if shape.is_some_and(|shape| shape.has_encoder()) {
            problems.extend(self.unsuited_to_encoder_decoder());
        } else if objective.sides() != self.sides() {
            let expected = match objective.sides() {
                Sides::Both => "a bidirectional backbone: encoder",
                Sides::Causal => "a causal backbone: decoder",
            };
            let whose = format!("the backbone of objective {name}");
            problems.push(setting(&whose, self.backbone.name(), expected));
        }
        problems
    }

    /// Which objectives cannot be asked of an encoder–decoder.
    fn unsuited_to_encoder_decoder(&self) -> Vec<Error> {
        let before = self.pretraining.iter().flat_map(Pretraining::objectives);
        let all = self.objectives().chain(before);
        let unsuited = all.filter(|objective| !objective.as_dyn().suits_encoder_decoder());
        let problem = |objective: &AnyObjective| {
            let expected = "one that asks its decoder to go on: \
                            bce, bpr, gbce, return-conditioned, sampled-softmax or softmax";
            setting("an objective of an encoder-decoder", objective.name(), expected)
        };
        unsuited.map(problem).collect()
    }

    /// Every objective of the task itself.
    fn objectives(&self) -> impl Iterator<Item = &AnyObjective> {
        std::iter::once(&self.objective).chain(auxiliary(&self.auxiliary))
    }

    /// Why `objectives`, the features or the backbone's views cannot be asked about `data`.
    fn unsuited<'o>(
        &self,
        objectives: impl Iterator<Item = &'o AnyObjective>,
        data: &Dataset,
    ) -> Vec<Error> {
        let of_objective = |objective: &AnyObjective| {
            let why = objective.as_dyn().unsuitable(data)?;
            Some(format!("objective {}: {why}", objective.name()))
        };
        let mut reasons: Vec<String> = objectives.filter_map(of_objective).collect();
        let of_features = self.features.as_ref().and_then(|features| features.unsuitable(data));
        reasons.extend(of_features.map(|why| format!("features: {why}")));
        let views = self.backbone.as_dyn().shape().map(|shape| shape.views).unwrap_or_default();
        let of_time = views.iter().any(|view| view != View::Return);
        if of_time && data.interactions.all_times().is_none() {
            reasons.push("the backbone has views of times, which the data lacks".to_owned());
        }
        reasons.into_iter().map(unsuitable).collect()
    }

    /// What of the paradigm and of what came before it does not fit together.
    fn paradigm_problems(&self) -> Vec<Error> {
        if let Some(problem) = self.paradigm.as_dyn().problem() {
            return vec![problem];
        }
        let Ok(shape) = self.backbone.as_dyn().shape() else { return vec![] };
        let plan = self.paradigm.as_dyn().plan(shape);
        let more: &[&str] = if self.features.is_some() { &[FEATURES] } else { &[] };
        let mut problems = plan.problems(shape, more);
        let name = format!("paradigm {}", self.paradigm.name());
        match &self.pretraining {
            None if plan.is_pretrained() => problems.push(setting(
                &name,
                "without pretraining",
                "pretraining = { … }, or { skip = true } for its un-pretrained twin",
            )),
            Some(_) if !plan.is_pretrained() => problems.push(setting(
                &name,
                "with pretraining",
                "no pretraining, since it is all of this paradigm; another one adapts what it gives",
            )),
            _ => {}
        }
        if let Some(before) = &self.pretraining
            && plan.stages.iter().all(|stage| stage.task == Task::Pretraining)
            && (before.skip || before.objective.as_ref().is_some_and(|o| !o.as_dyn().recommends()))
        {
            problems.push(setting(
                &name,
                "without pre-training that foretells items",
                "pretraining with an objective that recommends, since nothing is learnt afterwards",
            ));
        }
        let table =
            |stage: &Stage| stage.task == Task::Recommending && stage.lets_learn(shape, TABLE);
        let elsewhere = self.pretraining.as_ref().is_some_and(|before| before.elsewhere.is_some());
        let own = self.features.as_ref().is_none_or(|features| features.own);
        if elsewhere && own && !plan.stages.iter().any(table) {
            problems.push(setting(
                &name,
                "with pre-training elsewhere",
                "a paradigm that trains embeddings, since the items' embeddings begin anew; finetune-extra \
                 does with embeddings = true; or features with own = false, so that they have none",
            ));
        }
        let training = self.pretraining.as_ref().and_then(|before| before.training.as_ref());
        let of_training = training.map(Training::problems).unwrap_or_default();
        problems.extend(of_training.into_iter().map(Error::from));
        problems
    }
}

fn unsuitable(reason: String) -> Error {
    tastemaker_core::Error::Unsuitable { recommender: "language-model", reason }.into()
}

fn auxiliary(auxiliary: &[Auxiliary]) -> impl Iterator<Item = &AnyObjective> {
    auxiliary.iter().map(|auxiliary| &auxiliary.objective)
}

/// SHA-256 of everything that a trained model follows from.
fn identity(settings: &impl Serialize, context: &FitContext<'_>) -> Result<String> {
    let settings =
        serde_json::to_string(settings).map_err(|error| Error::Serialise(error.to_string()))?;
    let parts = [
        settings.as_str(),
        context.data.hash.as_str(),
        context.split.hash(),
        &context.seeds.seed().to_string(),
        &context.allow_seen.to_string(),
    ];
    Ok(artifact::sha256(parts.join("\n").as_bytes()))
}

impl FewShot {
    fn problem(self) -> Option<Error> {
        let (found, expected) = match self {
            Self::Users(0) => ("0 users".to_owned(), "1 or more"),
            Self::Interactions(n @ (0 | 1)) => (format!("{n} interactions"), "2 or more"),
            Self::Share(share) if !(share > 0.0 && share <= 1.0) => {
                (format!("a share of {share}"), "a number above 0, up to 1")
            }
            _ => return None,
        };
        Some(setting("few-shot", found, expected))
    }
}

impl FitRecommender for LanguageModel {
    fn problems(&self) -> Vec<Error> {
        let mut problems: Vec<Error> = Vec::new();
        problems.extend(self.backbone.as_dyn().shape().err().map(Error::from));
        let before = self.pretraining.iter().flat_map(Pretraining::objectives);
        let all = self.objectives().chain(before);
        let checked = all.filter_map(|objective| objective.as_dyn().check().err());
        problems.extend(checked.map(Error::from));
        let before = self.pretraining.iter().flat_map(|pretraining| &pretraining.auxiliary);
        let schedules = self.auxiliary.iter().chain(before).map(|auxiliary| auxiliary.schedule);
        problems.extend(schedules.filter_map(|schedule| schedule.problem()).map(Error::from));
        problems.extend(self.training.problems().into_iter().map(Error::from));
        problems.extend(self.training.device.open().err().map(Error::from));
        problems.extend(self.objective_problems());
        problems.extend(self.paradigm_problems());
        problems.extend(self.few_shot.and_then(FewShot::problem));
        problems.extend(self.features.as_ref().and_then(ItemFeatures::problem));
        problems
    }

    fn unsuitable(&self, data: &Dataset) -> Vec<Error> {
        // What is learnt before from other data is asked about that data once it is read.
        let here = self.pretraining.as_ref().filter(|before| before.elsewhere.is_none());
        let before = here.into_iter().flat_map(Pretraining::objectives);
        let mut problems = self.unsuited(self.objectives().chain(before), data);
        let unknown = self.attributes().and_then(|names| unknown_attribute(&names, data));
        problems.extend(unknown.map(|why| unsuitable(format!("personal-prompt: {why}"))));
        problems
    }

    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        if let Some(problem) =
            self.problems().into_iter().chain(self.unsuitable(context.data)).next()
        {
            return Err(problem);
        }
        let mut settings = self.clone();
        settings.resolve();
        let run = settings.run(context)?;
        let profiles =
            settings.attributes().map(|names| Profiles::new(&names, context.data, context.split));
        let values = profiles.as_ref().map_or(0, Profiles::n_values);
        let mut model = settings.fresh(context)?.with_values(values);
        let plan = settings.plan()?;
        let fitting = Fitting { settings: &settings, context, plan, run: &run, profiles };
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
        let views = self.views(context.data)?;
        let profiles = fitting.profiles;
        Ok(Box::new(Trained { model, sides, n_items, prompt, views, profiles }))
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
