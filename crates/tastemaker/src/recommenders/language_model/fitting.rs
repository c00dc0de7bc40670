//! Carries out the plan of a paradigm.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::seq::SliceRandom;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, SeedTree, UserId};
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::transformer::{Sides, Transformer};

use super::files::{CHECKPOINT_FILE, StageEnd};
use super::generated::{Generated, Tokenised};
use super::{Auxiliary, FewShot, FitContext, LanguageModel, Trained, taught};
use crate::objectives::AnyObjective;
use crate::paradigms::{ItemPrompt, Stage, Task, TrainPlan};
use crate::study::costs;
use crate::train::{
    Event, Facts, Outcome, Profiles, Question, Schedule, StageCost, Trainer, Training, Windows,
    remove_checkpoint,
};
use crate::{Error, Result};

/// The stages of a plan, one after the other, on one model.
pub(super) struct Fitting<'a> {
    pub(super) settings: &'a LanguageModel,
    pub(super) context: &'a FitContext<'a>,
    pub(super) plan: TrainPlan,
    /// Tells the run from every other.
    pub(super) run: &'a str,
    /// What a personal prompt is told of users, if there is one.
    pub(super) profiles: Option<Profiles>,
    /// The items behind the tokens that are learnt from, where those are not items.
    pub(super) tokenised: Option<(&'a Tokenised, &'a Dataset)>,
}

/// How a stage ended, and what it took where that is measured.
pub(super) type Ended = (StageEnd, Option<StageCost>);

/// What a stage needs beside the model.
pub(super) struct Part<'a> {
    pub(super) stage: &'a Stage,
    pub(super) objective: &'a AnyObjective,
    pub(super) auxiliary: &'a [Auxiliary],
    pub(super) training: &'a Training,
    /// Data, what of it is learnt from, seeds, and who is told.
    pub(super) context: FitContext<'a>,
    /// The file that it goes on from, and what it trains.
    pub(super) checkpoint: Option<(PathBuf, String)>,
}

impl Fitting<'_> {
    /// Runs every stage; says how each ended.
    pub(super) fn run(&self, model: &mut Transformer) -> Result<Vec<StageEnd>> {
        let (mut ends, mut costs) = (Vec::new(), Vec::new());
        for stage in &self.plan.stages {
            self.insert(model, stage)?;
            let (end, cost) = match stage.task {
                Task::Pretraining => match self.pretrain(model, stage)? {
                    Some(end) => end,
                    None => continue,
                },
                Task::Permuting => self.permute(model, stage)?,
                Task::Recommending => self.adapt(model, stage, &self.settings.training)?,
            };
            ends.push(end);
            costs.extend(cost);
        }
        if let Some(folder) = self.context.checkpoints.filter(|_| !costs.is_empty()) {
            costs::write(folder, &costs)?;
        }
        Ok(ends)
    }

    fn insert(&self, model: &mut Transformer, stage: &Stage) -> Result<()> {
        let seeds = self.context.seeds.child("weights");
        stage.insert.iter().try_for_each(|adapter| Ok(model.insert(adapter, &seeds)?))
    }

    /// Puts in everything that the plan puts in.
    pub(super) fn insert_all(&self, model: &mut Transformer) -> Result<()> {
        self.plan.stages.iter().try_for_each(|stage| self.insert(model, stage))
    }

    /// Where the stage `name` goes on; the one of a plan that has only one has a plain name.
    fn checkpoint(name: &str, folder: &Path) -> PathBuf {
        match name {
            "train" => folder.join(CHECKPOINT_FILE),
            name => folder.join(format!("checkpoint-{name}.safetensors")),
        }
    }

    /// Removes what only an interrupted run needs.
    pub(super) fn remove_checkpoints(&self, folder: &Path) -> Result<()> {
        let mut stages = self.plan.stages.iter();
        stages.try_for_each(|stage| remove_checkpoint(&Self::checkpoint(&stage.name, folder)))
    }

    /// A stage in which codes of texts find the embeddings that others have learnt.
    fn permute(&self, model: &mut Transformer, stage: &Stage) -> Result<Ended> {
        let (groups, epochs) = self.settings.permutation().expect("a plan that permutes");
        model.permute(groups, &self.context.seeds.child("weights"))?;
        let training = Training { epochs, ..self.settings.training.clone() };
        let ended = self.adapt(model, stage, &training)?;
        model.settle()?;
        Ok(ended)
    }

    /// A stage on the recommender's own task.
    fn adapt(&self, model: &mut Transformer, stage: &Stage, training: &Training) -> Result<Ended> {
        let name = &stage.name;
        if self.plan.stages.len() > 1 {
            self.context.observer.observe(&Event::Stage { stage: name.clone() });
        }
        let checkpoint = self
            .context
            .checkpoints
            .map(|folder| (Self::checkpoint(name, folder), format!("{} {name}", self.run)));
        let few = self.settings.few_shot.map(|few| self.few(few)).transpose()?;
        let part = Part {
            stage,
            objective: &self.settings.objective,
            auxiliary: &self.settings.auxiliary,
            training,
            context: FitContext {
                split: few.as_ref().unwrap_or(self.context.split),
                ..*self.context
            },
            checkpoint,
        };
        self.train(model, &part)
    }

    /// Trains what the stage lets learn.
    pub(super) fn train(&self, model: &mut Transformer, part: &Part<'_>) -> Result<Ended> {
        let meter = part.context.observer.meter();
        if let Some(meter) = meter {
            meter.reset();
        }
        let (context, n_items) = (&part.context, part.context.data.n_items());
        // Before it is adapted nothing is put in, and what is learnt from may be other users.
        let profiles = self.profiles.clone().filter(|_| part.stage.task == Task::Recommending);
        // A window begins with the first token of an item.
        let length = self.tokenised.map_or(1, |(tokenised, _)| tokenised.codes.length());
        let mut facts = Facts::new(context.data, context.split, model.shape());
        facts.item_length = length;
        let mut told: Vec<Profiles> = profiles.iter().cloned().collect();
        let exchanged = &part.training.counterfactual;
        if !exchanged.is_empty() {
            let seeds = context.seeds.child("counterfactual");
            told.extend(profiles.iter().map(|profiles| profiles.exchanged(exchanged, &seeds)));
        }
        let facts = facts.with_profiles(told);
        let questions = part.questions();
        part.prepare(model, &facts, &questions, &context.seeds.child("weights"))?;
        let causal = questions.iter().any(|q| q.objective.sides() == Sides::Causal);
        let windows = windows(context, model.shape(), (length, causal));
        let windows = windows.balanced(part.training.balance.as_deref(), &context.data.people);
        if windows.is_empty() {
            return Err(Error::Core(tastemaker_core::Error::Unsuitable {
                recommender: "language-model",
                reason: "no user has two interactions in a window of the training part".to_owned(),
            }));
        }
        let checkpoint = part.checkpoint.as_ref();
        let trainer = Trainer {
            settings: part.training,
            questions: &questions,
            windows: &windows,
            facts: &facts,
            seeds: context.seeds.child(&part.stage.name),
            checkpoint: checkpoint.map(|(path, run)| (path.as_path(), run.as_str())),
            observer: context.observer,
        };
        let sides = part.objective.as_dyn().sides();
        let told = self.settings.told(context.data)?;
        let validate = |model: &Transformer| {
            let model = model.frozen_seeing(sides, part.training.precision)?;
            let (prompt, told) = (ItemPrompt::default(), told.clone());
            let k = part.training.validation_k;
            if let Some((Tokenised { codes, beams, .. }, data)) = self.tokenised {
                let split = codes.split_of_items(context.split, data)?;
                let (codes, beams) = (Arc::clone(codes), *beams);
                let recommender = Generated { model, codes, beams, prompt };
                let context = FitContext { data, split: &split, ..*context };
                return crate::recommenders::validate(&recommender, &context, k);
            }
            let profiles = profiles.clone();
            let recommender = Trained { model, sides, n_items, prompt, told, profiles };
            crate::recommenders::validate(&recommender, context, k)
        };
        let recommends = part.objective.as_dyn().recommends();
        let Outcome { best_epoch, validation, epochs, before, spent } =
            trainer.run(model, recommends.then_some(&validate))?;
        let (stage, trained_parameters) =
            (part.stage.name.clone(), model.parameters().n_learning());
        let cost = meter.map(|meter| {
            let cost = before.map_or(meter.read(), |before| before.then(meter.read()));
            let (stage, epochs) = (stage.clone(), Some(epochs));
            StageCost { stage, trained_parameters, epochs, cost, spent }
        });
        model.remove_for_objectives();
        Ok((StageEnd { stage, trained_parameters, best_epoch, validation }, cost))
    }

    /// The split of which only a few users are learnt from.
    fn few(&self, few: FewShot) -> Result<SplitSets> {
        let FitContext { data, split, .. } = *self.context;
        let Some((Tokenised { codes, .. }, items)) = self.tokenised else {
            return Ok(self.few_of(few, data, split));
        };
        let of_items = self.few_of(few, items, &codes.split_of_items(split, items)?);
        codes.split(&of_items, data)
    }

    fn few_of(&self, few: FewShot, data: &Dataset, split: &SplitSets) -> SplitSets {
        let seeds = &self.context.seeds;
        let mut users: Vec<UserId> = taught(data, split).collect();
        users.shuffle(&mut seeds.child("few-shot").rng());
        let mut taken = vec![0; split.n_users()];
        let mut left = match few {
            FewShot::Interactions(n) => n,
            FewShot::Users(_) | FewShot::Share(_) => usize::MAX,
        };
        let n = match few {
            FewShot::Users(n) => n,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count"
            )]
            FewShot::Share(share) => (users.len() as f64 * share).ceil() as usize,
            FewShot::Interactions(_) => users.len(),
        };
        for user in users.into_iter().take(n) {
            let here = (split.cuts(user).train_end as usize).min(left);
            left -= here;
            taken[user.index()] = u32::try_from(here).expect("a part of what was in 32 bits");
        }
        split.few(|user| taken[user.index()])
    }
}

/// What is learnt from: sequences of whole items of `length` tokens, as long as the model can be asked
/// about.
fn windows<'a>(
    context: &FitContext<'a>,
    shape: Shape,
    (length, causal): (usize, bool),
) -> Windows<'a> {
    let (longest, least) = if shape.has_encoder() {
        // An encoder reads an item at least, and as many as it will be asked about, before one is foretold.
        ((shape.max_length / length + 1) * length, 2 * length)
    } else {
        // The last item of a window is a target only, unless it can be hidden in its place.
        ((shape.max_length + usize::from(causal)) / length * length, 2)
    };
    Windows::new(context.data, context.split, longest).of_at_least(least)
}

impl<'a> Part<'a> {
    /// What is asked: the objective, and those beside it.
    fn questions(&self) -> Vec<Question<'a>> {
        let first = (self.objective, Schedule::default());
        let others = self.auxiliary.iter().map(|other| (&other.objective, other.schedule));
        std::iter::once(first)
            .chain(others)
            .enumerate()
            .map(|(i, (objective, schedule))| {
                let prefix = format!("objective.{i}-{}", objective.name());
                Question { name: objective.name(), objective: objective.as_dyn(), prefix, schedule }
            })
            .collect()
    }

    /// Adds to the model what the questions need, and chooses what learns.
    fn prepare(
        &self,
        model: &mut Transformer,
        facts: &Facts<'_>,
        questions: &[Question<'_>],
        seeds: &SeedTree,
    ) -> Result<()> {
        let shape = model.shape();
        for question in questions {
            let own = question.objective.parameters(facts, shape);
            let generator = question.objective.generator_layers();
            model.add_for_objective(&question.prefix, own, generator, seeds)?;
        }
        model.choose(|name| self.stage.lets_learn(shape, name));
        Ok(())
    }
}
