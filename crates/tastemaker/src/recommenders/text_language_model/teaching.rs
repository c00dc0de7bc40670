//! Teaching a language model over text to recommend.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::splits::Part;
use tastemaker_core::{Dataset, ItemId, SeedTree, UserId, artifact};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::text::CausalModel;
use tastemaker_nn::transformer::{Pass, Sides, TABLE, Transformer};

use super::super::{FitContext, distinct};
use super::{TextLanguageModel, Tuning, unsuitable};
use crate::error::setting;
use crate::objectives::{Objective, next_item};
use crate::paradigms::{Stage, TrainPlan};
use crate::prompts::{Prompter, Told};
use crate::study::costs;
use crate::train::{
    Asked, BatchBuilder, Event, Facts, Question, Schedule, StageCost, Trainer, Training, Window,
    Windows, pack,
};
use crate::verbalizers::{Verbalizer, written_title};
use crate::{Error, Result};

/// The file of what has learnt, in the run's folder.
const FILE: &str = "tuned.safetensors";

/// Questions with their answers, as tokens.
#[derive(Debug, Default)]
struct Documents {
    /// The prompt and the answer.
    tokens: Vec<Vec<ItemId>>,
    /// Where the answer begins.
    begins: Vec<usize>,
    /// How many of them are told of a user with another value of an attribute.
    exchanged: usize,
}

/// The answer's tokens, each from those before it.
struct Answer<'a> {
    begins: &'a [usize],
}

impl Objective for Answer<'_> {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        Ok(())
    }

    fn ask(
        &self,
        window: &Window<'_>,
        _facts: &Facts<'_>,
        _rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let (begin, tokens) = (self.begins[window.user.index()], window.items);
        let read = tokens[..tokens.len() - 1].iter().map(|token| token.0);
        batch.push(read, tokens.iter().copied().enumerate().skip(begin).map(|(i, t)| (i - 1, t)));
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        next_item::softmax(asked)
    }
}

/// What a model is taught with.
pub(super) struct Teaching<'a> {
    pub(super) settings: &'a TextLanguageModel,
    pub(super) tuning: &'a Tuning,
    pub(super) prompter: &'a Prompter,
    pub(super) verbalizer: &'a dyn Verbalizer,
    pub(super) context: &'a FitContext<'a>,
}

impl Teaching<'_> {
    /// The model that has learnt; read back where it has learnt before.
    pub(super) fn run(&self) -> Result<CausalModel> {
        let Self { settings, context, .. } = self;
        let mut model = CausalModel::trainable(&settings.model)?;
        let plan = self.tuning.plan(model.shape());
        let seeds = context.seeds.child("weights");
        let identity = self.identity()?;
        let path = context.checkpoints.map(|folder| folder.join(FILE));
        match path.as_ref().filter(|path| path.exists()) {
            Some(path) => {
                plan.inserted().try_for_each(|adapter| model.insert(adapter, &seeds))?;
                read(path, &model, &identity)?;
            }
            None => {
                self.learn(&mut model, &plan, &seeds)?;
                if let Some(path) = path {
                    write(&path, &model, (&plan, &identity))?;
                }
            }
        }
        Ok(CausalModel::of(model, settings.precision, &identity)?)
    }

    /// Tells what has learnt from everything else that could be in its place.
    fn identity(&self) -> Result<String> {
        let Self { settings, context, .. } = self;
        let TextLanguageModel { model, precision, prompt, verbalizer, tuning, .. } = settings;
        let settings = serde_json::to_string(&(precision, prompt, verbalizer, tuning));
        let settings = settings.map_err(|error| setting("tuning", error, "settings in JSON"))?;
        let (data, split) = (&context.data.hash, context.split.hash());
        let (seed, model) = (context.seeds.seed(), CausalModel::hash_at(model)?);
        Ok(artifact::sha256(format!("{settings} {model} {data} {split} {seed}").as_bytes()))
    }

    fn learn(&self, model: &mut Transformer, plan: &TrainPlan, seeds: &SeedTree) -> Result<()> {
        let context = self.context;
        let (data, split) = (context.data, context.split);
        let other = self.counterfactual()?;
        let told: Vec<&Prompter> = std::iter::once(self.prompter).chain(&other).collect();
        let (train, validation) = (self.train_documents(&told)?, self.validation_documents()?);
        if train.tokens.is_empty() {
            let reason = "no user's training part ends in an item with a title after others";
            return Err(unsuitable(reason));
        }
        if other.is_some() && train.exchanged == 0 {
            let exchanged = self.tuning.counterfactual.join(", ");
            let reason = format!("counterfactual: no prompt says another {exchanged} otherwise");
            return Err(unsuitable(&reason).at("tuning.counterfactual"));
        }
        let mut facts = Facts::new(data, split, model.shape());
        let rows = model.parameters().get(TABLE).dims()[0];
        facts.n_items = u32::try_from(rows).expect("tokens are numbered in 32 bits");
        let training = self.tuning.training(self.settings.precision);
        let mut costs = Vec::new();
        for stage in &plan.stages {
            stage.insert.iter().try_for_each(|adapter| model.insert(adapter, seeds))?;
            costs.extend(self.stage(model, stage, (&facts, &training), (&train, &validation))?);
        }
        if let Some(folder) = context.checkpoints.filter(|_| !costs.is_empty()) {
            costs::write(folder, &costs)?;
        }
        Ok(())
    }

    /// What says the prompts of users with other values of attributes, if any are exchanged.
    fn counterfactual(&self) -> Result<Option<Prompter>> {
        let (names, context) = (&self.tuning.counterfactual, self.context);
        if names.is_empty() {
            return Ok(None);
        }
        let people = context.data.people.exchanged(names, &context.seeds.child("counterfactual"));
        let data = &Dataset { people, ..context.data.clone() };
        self.settings.prompter(&FitContext { data, ..*context }).map(Some)
    }

    /// The title of an item, if something is written there.
    fn title(&self, item: ItemId) -> Option<&str> {
        written_title(self.prompter.data(), item)
    }

    fn stage(
        &self,
        model: &mut Transformer,
        stage: &Stage,
        (facts, training): (&Facts<'_>, &Training),
        (train, validation): (&Documents, &Documents),
    ) -> Result<Option<StageCost>> {
        let (observer, shape) = (self.context.observer, model.shape());
        let meter = observer.meter();
        if let Some(meter) = meter {
            meter.reset();
        }
        observer.observe(&Event::Stage { stage: stage.name.clone() });
        model.choose(|name| stage.lets_learn(shape, name));
        let objective = Answer { begins: &train.begins };
        let windows = Windows::of(&train.tokens);
        let trainer = Trainer {
            settings: training,
            questions: &[Question {
                name: "answer",
                objective: &objective,
                prefix: "objective.answer".to_owned(),
                schedule: Schedule::default(),
            }],
            windows: &windows,
            facts,
            seeds: self.context.seeds.child(&stage.name),
            checkpoint: None,
            observer,
        };
        let validate = |model: &Transformer| likelihood(model, validation, facts, training);
        let chooses = !validation.tokens.is_empty();
        let outcome = trainer.run(model, chooses.then_some(&validate))?;
        let trained_parameters = model.parameters().n_learning();
        Ok(meter.map(|meter| StageCost {
            stage: stage.name.clone(),
            trained_parameters,
            epochs: Some(outcome.epochs),
            cost: meter.read(),
            spent: None,
        }))
    }

    /// Questions about the last items of users' training parts, each as all of these tell it.
    fn train_documents(&self, told: &[&Prompter]) -> Result<Documents> {
        let FitContext { data, split, .. } = *self.context;
        let question = |user| {
            let (last, before) = split.train(data, user).split_last()?;
            Some((user, before, *last))
        };
        let users = data.interactions.users().filter_map(question).collect();
        let most = if self.tuning.shots == 0 { usize::MAX } else { self.tuning.shots };
        self.documents(users, most, told, &self.context.seeds.child("shots"))
    }

    /// Questions about users' validation targets.
    fn validation_documents(&self) -> Result<Documents> {
        let FitContext { data, split, .. } = *self.context;
        let cases = split.iter_cases(data, Part::Validation);
        let questions = cases.map(|case| (case.user, case.history, case.targets[0])).collect();
        let most = self.tuning.validation_shots;
        let seeds = self.context.seeds.child("validation-shots");
        self.documents(questions, most, &[self.prompter], &seeds)
    }

    /// `most` of these questions, drawn: a user, what came before, and the item.
    fn documents(
        &self,
        mut questions: Vec<(UserId, &[ItemId], ItemId)>,
        most: usize,
        told: &[&Prompter],
        seeds: &SeedTree,
    ) -> Result<Documents> {
        let (n_items, mut rng) = (self.context.data.n_items(), seeds.rng());
        let most_items = n_items.saturating_sub(2);
        questions.retain(|(_, history, target)| {
            let few = !history.is_empty() && distinct(history).len() <= most_items;
            few && self.title(*target).is_some()
        });
        questions.shuffle(&mut rng);
        let mut documents = Documents::default();
        for (i, (user, history, target)) in questions.into_iter().take(most).enumerate() {
            // One that is right, then one that is wrong.
            let right = !self.verbalizer.asks_about_items() || i % 2 == 0;
            let mut asked = target;
            while !right && (asked == target || history.contains(&asked)) {
                asked = any_item(n_items, &mut rng);
            }
            self.add((user, history, asked), (right, told), &mut rng, &mut documents)?;
        }
        Ok(documents)
    }

    fn add(
        &self,
        (user, history, item): (UserId, &[ItemId], ItemId),
        (right, prompters): (bool, &[&Prompter]),
        rng: &mut ChaCha8Rng,
        documents: &mut Documents,
    ) -> Result<()> {
        let data = self.context.data;
        let Some(answer) = self.title(item).and_then(|title| self.verbalizer.answer(title, right))
        else {
            return Ok(());
        };
        let Some(tokenizer) = self.prompter.tokenizer() else { return Ok(()) };
        let mut answer = tokenizer.encode_as_it_is(&answer)?.concat();
        if self.verbalizer.ends_by_itself() {
            answer.extend(self.prompter.stop().first());
        }
        let mut candidates = Vec::new();
        if self.prompter.speaks_of("candidates") {
            candidates.push(item);
            let wanted = self.tuning.candidates.min(data.n_items() - distinct(history).len());
            while candidates.len() < wanted {
                let other = any_item(data.n_items(), rng);
                if !candidates.contains(&other) && !history.contains(&other) {
                    candidates.push(other);
                }
            }
            candidates.shuffle(rng);
        }
        let about = self.verbalizer.asks_about_items().then_some(item);
        let told =
            Told { user: Some(user), history, candidates: &candidates, item: about, examples: &[] };
        let mut own = None;
        for prompter in prompters {
            let prompt = prompter.prompt(&told, answer.len())?.tokens;
            // Of whom the value is not known, the other prompt is the same.
            if own.as_ref() == Some(&prompt) {
                continue;
            }
            documents.exchanged += usize::from(own.is_some());
            documents.begins.push(prompt.len());
            let answer = answer.iter().copied();
            documents.tokens.push(prompt.iter().copied().chain(answer).map(ItemId).collect());
            own.get_or_insert(prompt);
        }
        Ok(())
    }
}

fn any_item(n_items: usize, rng: &mut ChaCha8Rng) -> ItemId {
    let n_items = u32::try_from(n_items).expect("items are numbered in 32 bits");
    ItemId(rng.random_range(0..n_items))
}

/// The mean log-probability of a token of the answers.
fn likelihood(
    model: &Transformer,
    documents: &Documents,
    facts: &Facts<'_>,
    training: &Training,
) -> Result<f64> {
    let objective = Answer { begins: &documents.begins };
    let all = Windows::of(&documents.tokens);
    let (mut total, mut n) = (0.0, 0);
    let pass = Pass { precision: training.precision, ..Pass::default() };
    let seeds = SeedTree::new(0);
    for windows in all.in_order().chunks(training.batch_size) {
        for batch in pack(&objective, windows, facts, &seeds, training.accumulate) {
            let asked = Asked { model, pass, batch: &batch, facts, prefix: "" };
            let loss = objective.loss(&asked, &mut seeds.rng())?;
            let loss = f64::from(loss.to_scalar::<f32>().map_err(tastemaker_nn::Error::from)?);
            total -= loss * batch.n_asked() as f64;
            n += batch.n_asked();
        }
    }
    Ok(total / n.max(1) as f64)
}

/// Whether what has learnt is in `folder`.
///
/// # Errors
/// If it is not.
pub(super) fn is_there(folder: &Path) -> Result<()> {
    if folder.join(FILE).exists() {
        return Ok(());
    }
    let problem = format!("{FILE}, which holds what has learnt, is missing");
    Err(Error::Run { path: folder.to_owned(), problem })
}

/// Writes what has learnt.
fn write(path: &Path, model: &Transformer, (plan, identity): (&TrainPlan, &String)) -> Result<()> {
    let shape = model.shape();
    let learnt = |name: &str| plan.stages.iter().any(|stage| stage.lets_learn(shape, name));
    let mut tensors = BTreeMap::new();
    for (name, variable) in model.parameters().iter().filter(|(name, _)| learnt(name)) {
        let values = model.parameters().values(name)?;
        tensors.insert(name.to_owned(), (variable.dims().to_vec(), values));
    }
    Ok(Checkpoint { about: identity.clone(), tensors }.write(path)?)
}

/// Reads what has learnt into `model`, which has its adapters.
fn read(path: &Path, model: &Transformer, identity: &str) -> Result<()> {
    let file = Checkpoint::<String>::read(path)?;
    if file.about != identity {
        return Err(Error::OtherRun { path: path.to_owned() });
    }
    for (name, variable) in model.parameters().iter() {
        if file.tensors.contains_key(name) {
            let values = file.tensor(path, name, variable.dims())?;
            model.parameters().replace(name, values)?;
        }
    }
    Ok(())
}
