//! What a model has learnt before it is adapted.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tastemaker_core::Dataset;
use tastemaker_core::artifact::lock;
use tastemaker_core::prepare::{PrepareOptions, Prepared, prepare};
use tastemaker_core::sources::AnySource;
use tastemaker_core::splits::{AnySplit, LeaveLastOut, SplitSets};
use tastemaker_endpoint::{Client, Endpoint, Spent};
use tastemaker_nn::backbones::AnyBackbone;
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::parameters::Group;
use tastemaker_nn::transformer::{FEATURES, TABLE, Transformer};

use super::features::{ItemFeatures, shared};
use super::files::{CHECKPOINT_FILE, MODEL_FILE, StageEnd, tensors};
use super::fitting::{Ended, Fitting, Part};
use super::{
    Auxiliary, FitContext, ItemTexts, Keyed, LanguageModel, PRETRAINING, SPECIAL_TOKENS, auxiliary,
    identity, unsuitable,
};
use crate::objectives::AnyObjective;
use crate::paradigms::Stage;
use crate::study::{EventLog, costs};
use crate::text::TextEmbeddings;
use crate::train::{Event, Observer, Training, remove_checkpoint};
use crate::{Error, Result};

/// What a model has learnt before it is adapted. Arms with the same pre-training share the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pretraining {
    /// What it learns; the recommender's own objective where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<AnyObjective>,
    /// What it learns beside that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auxiliary: Vec<Auxiliary>,
    /// How it is trained; as the recommender's own task where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// From what other data it learns; from the study's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Elsewhere>,
    /// Leaves it out: the un-pretrained twin, which is adapted from its first weights.
    pub skip: bool,
}

/// Other data than the study's. Its items are others: of what was learnt there the blocks, norms,
/// places, views and special tokens go over, an adaptor of texts, codes of texts (or their embeddings
/// alone, where these are permuted), and features by their attributes and values; the items' own
/// embeddings begin anew, and so do features that are unknown there. Items that are known by their texts
/// and have embeddings of their own beside have none there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Elsewhere {
    /// Where it comes from.
    pub dataset: AnySource,
    /// How it is cleaned.
    #[serde(default)]
    pub prepare: PrepareOptions,
    /// How it is divided; only its training part is learnt from, and its validation chooses.
    #[serde(default = "leave_last_out")]
    pub split: AnySplit,
}

fn leave_last_out() -> AnySplit {
    AnySplit::LeaveLastOut(LeaveLastOut::default())
}

impl Elsewhere {
    fn read(&self) -> Result<(Prepared, SplitSets)> {
        let data = prepare(&self.dataset, &self.prepare)?;
        let split = crate::verbs::divide(&self.split, &data)?;
        Ok((data, split))
    }
}

/// What is beside the study's data: other data, each read once, however many arms learn from it, and the
/// models behind endpoints that runs ask.
#[derive(Debug, Default)]
pub struct Others {
    data: RefCell<Vec<(Elsewhere, Other)>>,
    clients: RefCell<Vec<((PathBuf, Endpoint), Asked)>>,
}

/// Data and how it is divided.
type Other = Rc<(Prepared, SplitSets)>;

/// A model that is asked, one question at a time.
pub type Asked = Arc<Mutex<Client>>;

impl Others {
    /// The data of `elsewhere`.
    pub(super) fn read(&self, elsewhere: &Elsewhere) -> Result<Other> {
        let mut all = self.data.borrow_mut();
        if let Some((_, other)) = all.iter().find(|(of, _)| of == elsewhere) {
            return Ok(Rc::clone(other));
        }
        let other = Rc::new(elsewhere.read()?);
        all.push((elsewhere.clone(), Rc::clone(&other)));
        Ok(other)
    }

    /// What asks `endpoint` for the run in the folder `run`: the same however often it is made, so that
    /// the run has one budget and one pace.
    pub(in crate::recommenders) fn client(
        &self,
        run: Option<&Path>,
        endpoint: &Endpoint,
        record: Option<&Path>,
    ) -> Result<Asked> {
        let mut all = self.clients.borrow_mut();
        let key = run.map(|run| (run.to_owned(), endpoint.clone()));
        if let Some((_, client)) = all.iter().find(|(of, _)| Some(of) == key.as_ref()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Mutex::new(Client::new(endpoint, record)?));
        all.extend(key.map(|key| (key, Arc::clone(&client))));
        Ok(client)
    }

    /// What the models behind endpoints have cost that the run in the folder `run` asked.
    pub(crate) fn spent(&self, run: &Path) -> Vec<(String, Spent)> {
        let all = self.clients.borrow();
        let own = all.iter().filter(|((of, _), _)| of == run);
        let spent = |client: &Asked| client.lock().unwrap_or_else(PoisonError::into_inner).spent();
        own.map(|((_, endpoint), client)| (endpoint.model.clone(), spent(client))).collect()
    }
}

/// Everything that a pre-trained model follows from, beside data, split and seed.
#[derive(Serialize)]
struct Pretrained<'a> {
    backbone: &'a AnyBackbone,
    /// Absent as in pre-training of before there were features.
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<&'a ItemFeatures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<&'a ItemTexts>,
    objective: &'a AnyObjective,
    auxiliary: &'a [Auxiliary],
    training: &'a Training,
}

impl Pretraining {
    /// Everything that is learnt.
    pub(super) fn objectives(&self) -> impl Iterator<Item = Keyed<'_>> {
        let own = self.objective.iter().map(|own| ("pretraining.objective".to_owned(), own));
        own.chain(auxiliary("pretraining.auxiliary", &self.auxiliary))
    }

    /// How it learns: as it says, or as the model that it is `of`.
    pub(super) fn training<'a>(&'a self, of: &'a LanguageModel) -> &'a Training {
        self.training.as_ref().unwrap_or(&of.training)
    }
}

impl LanguageModel {
    /// The features that the items of `there` have in common with those `here`, by number.
    pub(super) fn shared_features(
        &self,
        there: &Dataset,
        here: &Dataset,
    ) -> Result<Vec<(usize, usize)>> {
        if let Some(codes) = self.texts.as_ref().and_then(ItemTexts::n_codes) {
            return Ok((0..codes).map(|code| (code, code)).collect());
        }
        let Some(features) = &self.features else { return Ok(vec![]) };
        let shared = shared(&features.of(there), &features.of(here));
        if shared.is_empty() {
            let reason = format!("features: no value of {} is one of this data's", there.name);
            return Err(unsuitable("pretraining.elsewhere", reason));
        }
        Ok(shared)
    }
}

impl Fitting<'_> {
    /// Gives the model what it learns before: from the file of another run, or now. Nothing, where
    /// pre-training is left out.
    pub(super) fn pretrain(&self, model: &mut Transformer, stage: &Stage) -> Result<Option<Ended>> {
        let pretraining = self.settings.pretraining.as_ref().filter(|before| !before.skip);
        let Some(pretraining) = pretraining else { return Ok(None) };
        self.context.observer.observe(&Event::Stage { stage: stage.name.clone() });
        let Some(elsewhere) = &pretraining.elsewhere else {
            let texts = self.settings.read_texts(self.context)?;
            let on = (self.context, self.settings.texts.as_ref(), texts.as_ref());
            return self.pretrain_on(on, pretraining, model, stage).map(Some);
        };
        let other = self.context.others.read(elsewhere)?;
        let (data, split) = (&other.0, &other.1);
        let context = FitContext { data: &data.dataset, split, ..*self.context };
        let training = pretraining.training(self.settings);
        let (objectives, trainings) = (pretraining.objectives(), [(PRETRAINING, training)]);
        let unsuited = self.settings.unsuited(objectives, &trainings, (&data.dataset, split));
        if let Some(problem) = unsuited.into_iter().next() {
            return Err(problem);
        }
        let features = self.settings.shared_features(&data.dataset, self.context.data)?;
        let texts = self.settings.read_texts(&context)?;
        // What items have of their own does not go over, so that nothing is left to it there.
        let own = self.settings.texts.as_ref().map(ItemTexts::alone);
        let alone = LanguageModel { texts: own, ..self.settings.clone() };
        let mut other = alone.fresh(&context, texts.clone())?;
        let on = (&context, alone.texts.as_ref(), texts.as_ref());
        let ended = self.pretrain_on(on, pretraining, &mut other, stage)?;
        transfer(&other, model, &features)?;
        Ok(Some(ended))
    }

    fn pretrain_on(
        &self,
        (context, known, texts): (&FitContext<'_>, Option<&ItemTexts>, Option<&TextEmbeddings>),
        pretraining: &Pretraining,
        model: &mut Transformer,
        stage: &Stage,
    ) -> Result<Ended> {
        let backbone = &self.settings.backbone;
        // Resolved settings say both.
        let objective = pretraining.objective.as_ref().unwrap_or(&self.settings.objective);
        let training = pretraining.training(self.settings);
        let auxiliary = &pretraining.auxiliary[..];
        let features = self.settings.features.as_ref();
        let of = Pretrained { backbone, features, texts: known, objective, auxiliary, training };
        let run = identity(&of, context, texts)?;
        let folder = context.pretrained.map(|folder| folder.join(&run[..16]));
        // Other processes that run arms of the same study wait, and find it.
        let lock = folder.as_ref().map(|folder| lock(&folder.join("lock"))).transpose()?;
        if let Some(folder) = folder.as_ref().filter(|folder| folder.join(MODEL_FILE).exists()) {
            let end = read(&folder.join(MODEL_FILE), model, &run)?;
            return Ok((end, costs::read(folder)?.pop()));
        }
        let outer = context.observer.beneath().unwrap_or(context.observer);
        let log = folder.as_ref().map(|folder| EventLog::new(&folder.join("events.jsonl"), outer));
        let observer: &dyn Observer = log.as_ref().map_or(outer, |log| log);
        let checkpoint: Option<(PathBuf, String)> =
            folder.as_ref().map(|folder| (folder.join(CHECKPOINT_FILE), run.clone()));
        let context = FitContext { observer, ..*context };
        let part = Part { stage, objective, auxiliary, training, context, checkpoint };
        let ended = self.train(model, &part)?;
        if let Some(log) = log {
            log.finish()?;
        }
        if let Some(folder) = folder {
            keep(&folder, model, run, &ended)?;
        }
        drop(lock);
        Ok(ended)
    }
}

/// Gives `model`, over other items, what `other` has learnt about none of its own, and about the
/// `features` that both know, by their numbers there and here.
fn transfer(other: &Transformer, model: &Transformer, features: &[(usize, usize)]) -> Result<()> {
    let learnt = tensors(other, Group::is_backbone)?;
    let mut all = tensors(model, |_| true)?;
    for (name, (ours, values)) in &mut all {
        let Some((theirs, learnt)) = learnt.get(name) else { continue };
        let special = || (1..=SPECIAL_TOKENS).map(|i| (theirs[0] - i, ours[0] - i)).collect();
        let rows: Vec<(usize, usize)> = match name.as_str() {
            TABLE => special(),
            FEATURES => features.to_vec(),
            _ => {
                values.clone_from(learnt);
                continue;
            }
        };
        for (there, here) in rows {
            let row = |row: usize| row * ours[1]..(row + 1) * ours[1];
            values[row(here)].copy_from_slice(&learnt[row(there)]);
        }
    }
    Ok(model.parameters().set(|name, _| Ok(&all[name].1))?)
}

/// What the file of a pre-trained model says about itself.
type About = (String, StageEnd);

/// Keeps a pre-trained model for other runs; that its file is there says that it is whole.
fn keep(folder: &Path, model: &Transformer, run: String, (end, cost): &Ended) -> Result<()> {
    if let Some(cost) = cost {
        costs::write(folder, std::slice::from_ref(cost))?;
    }
    let (about, tensors) = ((run, end.clone()), tensors(model, Group::is_backbone)?);
    Checkpoint::<About> { about, tensors }.write(&folder.join(MODEL_FILE))?;
    remove_checkpoint(&folder.join(CHECKPOINT_FILE))
}

fn read(path: &Path, model: &Transformer, run: &str) -> Result<StageEnd> {
    let checkpoint = Checkpoint::<About>::read(path)?;
    let (of, end) = &checkpoint.about;
    if of != run {
        return Err(Error::OtherRun { path: path.to_owned() });
    }
    model.parameters().set(|name, dimensions| checkpoint.tensor(path, name, dimensions))?;
    Ok(end.clone())
}
