//! A language model from texts to texts that learns every task of recommending.

mod judged;
mod questions;
mod tasks;
mod written;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, ItemId, RecQuery, Recommender, artifact};
use tastemaker_nn::backbones::{AnyBackbone, EncoderDecoder};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::fused::Positions;
use tastemaker_nn::text::{Division, TextTokenizer};
use tastemaker_nn::transformer::Transformer;

use self::questions::{Answers, END, Reader, Speech, Teacher, numbers};
use self::tasks::{asked, recommending};
use self::written::{Asking, Names, Written};
use super::language_model::{CHECKPOINT_FILE, MODEL_FILE, tensors};
use super::{FitContext, FitRecommender, Given, check, unchosen, validate};
use crate::error::setting;
use crate::prompts::Shown;
use crate::study::costs;
use crate::tokenisations::{RandomIds, Tokenisation};
use crate::train::{
    Facts, Outcome, Question, Schedule, StageCost, Trainer, Training, Windows, remove_checkpoint,
    ungroupable,
};
use crate::verbalizers::written_title;
use crate::{Error, Result};

pub use self::tasks::TextTask;

const NAME: &str = "text-to-text";

/// The file of the tokenizer, in the run's folder.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// Questions, and as many answers, that a tokenizer learns from at most.
const MOST_TEXTS: usize = 20_000;

/// Windows about which every task is asked before anything learns.
const FIRST_WINDOWS: usize = 20;

/// Why nothing can be learnt from a split.
const UNTAUGHT: &str = "no user has two interactions in the training part";

/// What stands around a code.
const CODE: (char, char) = ('⟨', '⟩');

/// Tokens after those of texts: the one with which a decoder begins, and one that is not used.
const SPECIAL_TOKENS: usize = 2;

/// A language model that is asked in words and answers in words, and learns several families of tasks
/// at once from nothing.
///
/// # What it does
/// Makes questions and answers about the interactions of the training part by the templates of its
/// tasks, anew in each epoch; its tokenizer learns from them, too, and from what is written about the
/// items. The loss is the cross-entropy of the answers' tokens. It recommends by the first task whose
/// answer is an item, and writes the item by beam search over the catalog's names, so that what does
/// not exist cannot come out: s(i) = Σₜ log p(tokenₜ | question, tokens before t), by softmax over all
/// tokens. NDCG over the validation targets chooses the epoch. How well every task is answered about
/// them stands in `tasks.json` of the run's folder.
///
/// What the data has not everything for is not asked: families of P5 that speak of ratings or of what
/// was written, where there is none.
///
/// # When not to use it
/// Where only the next item is wanted and each item can be a token: `language-model` learns the same
/// from fewer tokens. Users that are spoken of by their number have to be in the training part.
///
/// # References
/// Geng et al. 2022, *P5*, without its whole-word embeddings and its pre-trained T5; items by random
/// numbers, semantic or collaborative ids: Hua et al. 2023.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextToText {
    /// The architecture; an encoder–decoder reads the question before it answers.
    pub backbone: AnyBackbone,
    /// What texts are divided by.
    pub tokenizer: Tokens,
    /// What items are called.
    pub names: ItemNames,
    /// What is asked.
    pub tasks: Vec<TextTask>,
    /// The families that are asked; all that the data has everything for where empty.
    pub families: Vec<String>,
    /// The items before that are told.
    pub last_items: usize,
    /// Items that a question names, where it names candidates.
    pub candidates: usize,
    /// Beginnings that are kept when items are written.
    pub beams: usize,
    /// How it is trained; `batch-size` counts windows of `last-items` and one items, about each of
    /// which every task is asked.
    pub training: Training,
}

/// What divides texts into tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tokens {
    /// Byte pairs, learnt from questions, answers and the catalog.
    Bpe(Learnt),
    /// Word pieces, learnt from the same.
    WordPiece(Learnt),
    /// A `tokenizer.json` as it is.
    File(PathBuf),
}

/// How much a tokenizer learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Learnt {
    /// The most tokens, those of ids not counted.
    pub vocabulary: usize,
}

impl Default for Learnt {
    fn default() -> Self {
        Self { vocabulary: 2000 }
    }
}

/// What items are called in questions and answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemNames {
    /// `item_` and a number, in a random order, in as many tokens as the tokenizer makes of it.
    Numbers,
    /// Their titles.
    Titles,
    /// Codes, each a token of its own.
    Codes(Tokenisation),
}

impl Default for TextToText {
    fn default() -> Self {
        Self {
            backbone: AnyBackbone::EncoderDecoder(EncoderDecoder {
                max_length: Some(128),
                positions: Positions::Relative,
                ..EncoderDecoder::default()
            }),
            tokenizer: Tokens::Bpe(Learnt::default()),
            names: ItemNames::Numbers,
            tasks: tasks::p5(),
            families: vec![],
            last_items: 10,
            candidates: 20,
            beams: 20,
            training: Training::default(),
        }
    }
}

/// Everything but the model.
struct Setup {
    asking: Arc<Asking>,
    names: Arc<Names>,
    tasks: Vec<tasks::Asked>,
    /// Tokens of texts; the one with which a decoder begins follows.
    n_tokens: u32,
    /// Tells this run from every other.
    identity: String,
}

impl TextToText {
    /// Fills in every number that follows from another, so that the study shows them all.
    pub fn resolve(&mut self) {
        if let Ok(backbone) = self.backbone.as_dyn().resolved() {
            self.backbone = backbone;
        }
    }

    fn teacher<'a>(
        &self,
        context: &FitContext<'a>,
        (speech, tasks): (&'a Speech, &'a [tasks::Asked]),
    ) -> Teacher<'a> {
        let (last_items, candidates) = (self.last_items, self.candidates);
        Teacher { data: context.data, split: context.split, speech, tasks, last_items, candidates }
    }

    fn windows<'a>(&self, context: &FitContext<'a>) -> Windows<'a> {
        let windows = Windows::new(context.data, context.split, self.last_items + 1);
        windows.balanced(self.training.balance.as_deref(), &context.data.people)
    }

    /// The names of the items, and the tokens that are theirs alone.
    fn names(&self, context: &FitContext<'_>) -> Result<(Vec<String>, Vec<String>)> {
        let data = context.data;
        let items = || (0..).map(ItemId).take(data.n_items());
        Ok(match &self.names {
            ItemNames::Numbers => {
                (numbers("item", data.n_items(), &context.seeds.child("items")), vec![])
            }
            ItemNames::Titles => {
                let title = |item| written_title(data, item).unwrap_or_default().to_owned();
                (items().map(title).collect(), vec![])
            }
            ItemNames::Codes(tokenisation) => {
                let about = (data, context.split);
                let codes = tokenisation.codes(about, context.pretrained, &context.seeds)?;
                let token = |token: u32| format!("{}{token}{}", CODE.0, CODE.1);
                let name = |item| codes.of(item).iter().map(|&code| token(code)).collect();
                (items().map(name).collect(), (0..codes.n_tokens()).map(token).collect())
            }
        })
    }

    /// The tokenizer, as it was written or from what it learns from; `codes` are tokens as they are.
    fn tokenizer(
        &self,
        context: &FitContext<'_>,
        teacher: &Teacher<'_>,
        codes: &[String],
    ) -> Result<TextTokenizer> {
        let file = context.checkpoints.map(|folder| folder.join(TOKENIZER_FILE));
        if let Some(path) = file.as_ref().filter(|path| path.exists()) {
            return Ok(TextTokenizer::read(path, usize::MAX)?);
        }
        let learn = |division, learnt: &Learnt| {
            let texts = self.texts(context, teacher)?;
            let learnt = TextTokenizer::train(division, learnt.vocabulary, &texts);
            learnt.map_err(|error| Error::from(error).at("tokenizer"))
        };
        let tokenizer = match &self.tokenizer {
            Tokens::Bpe(learnt) => learn(Division::Bpe, learnt)?,
            Tokens::WordPiece(learnt) => learn(Division::WordPiece, learnt)?,
            Tokens::File(path) => TextTokenizer::read(path, usize::MAX)?,
        };
        let tokenizer =
            tokenizer.with_tokens(&[END.to_owned()], true)?.with_tokens(codes, false)?;
        if let Some(path) = file {
            tokenizer.write(&path)?;
        }
        Ok(tokenizer)
    }

    /// What a tokenizer learns from: questions, answers and what is written about items, without
    /// codes, which are tokens already.
    fn texts(&self, context: &FitContext<'_>, teacher: &Teacher<'_>) -> Result<Vec<String>> {
        let (data, seeds) = (context.data, context.seeds.child("tokenizer"));
        let windows = self.windows(context).shuffled(&seeds);
        let mut texts = teacher.texts(&windows, MOST_TEXTS, &seeds)?;
        texts.extend((0..).map(ItemId).take(data.n_items()).map(|item| data.catalog.text(item)));
        if matches!(self.names, ItemNames::Codes(_)) {
            let after = |part: &str| part.rsplit(CODE.1).next().unwrap_or(part).to_owned();
            for text in &mut texts {
                *text = text.split(CODE.0).map(after).collect();
            }
        }
        Ok(texts)
    }

    fn setup(&self, context: &FitContext<'_>) -> Result<Setup> {
        let shape = self.backbone.as_dyn().shape()?;
        let tasks = asked(&self.tasks, &self.families, Some(context.data));
        let task = recommending(&tasks).cloned().ok_or_else(|| {
            unsuitable("it lacks what every task speaks of that asks for an item")
        })?;
        let (names, codes) = self.names(context)?;
        let speech = Speech::new(context.data, &names, &context.seeds);
        let teacher = self.teacher(context, (&speech, &tasks));
        let tokenizer = self.tokenizer(context, &teacher, &codes)?;
        let end = tokenizer.token(END).ok_or_else(|| {
            setting("the tokenizer", "without the token that ends answers", "the run's own")
        })?;
        let n_tokens = u32::try_from(tokenizer.n_tokens()).expect("tokens are numbered in 32 bits");
        // Where one stack reads question and answer, a quarter of its places is the answer's.
        let longest = shape.max_length;
        let of_answer = if shape.has_encoder() { longest } else { longest / 4 };
        let most = (if shape.has_encoder() { longest } else { longest - of_answer }, of_answer);
        let reader = Reader { tokenizer, end, most };
        let called = artifact::sha256(names.join("\n").as_bytes());
        let names = Arc::new(Names::new(&names, &reader, self.beams)?);
        let asking = Asking { task, speech, reader, last_items: self.last_items };
        let identity = self.identity(context, &called)?;
        Ok(Setup { asking: Arc::new(asking), names, tasks, n_tokens, identity })
    }

    /// SHA-256 of everything that a trained model follows from, `called` that of the items' names.
    fn identity(&self, context: &FitContext<'_>, called: &str) -> Result<String> {
        let settings =
            serde_json::to_string(self).map_err(|error| Error::Serialise(error.to_string()))?;
        let (data, split) = (&context.data.hash, context.split.hash());
        let (seed, seen) = (context.seeds.seed(), context.allow_seen);
        Ok(artifact::sha256(format!("{settings} {called} {data} {split} {seed} {seen}").as_bytes()))
    }

    fn written(&self, model: &Transformer, setup: &Setup) -> Result<Written> {
        Ok(Written {
            model: model.frozen(self.training.precision)?,
            asking: Arc::clone(&setup.asking),
            names: Arc::clone(&setup.names),
            begin: setup.n_tokens,
        })
    }

    fn learn(&self, model: &Transformer, setup: &Setup, context: &FitContext<'_>) -> Result<()> {
        let windows = self.windows(context);
        if windows.is_empty() {
            return Err(unsuitable(UNTAUGHT));
        }
        let meter = context.observer.meter();
        if let Some(meter) = meter {
            meter.reset();
        }
        let mut facts = Facts::new(context.data, context.split, model.shape());
        facts.n_items = setup.n_tokens;
        let teacher = self.teacher(context, (&setup.asking.speech, &setup.tasks));
        // What a task says of single interactions is seen to be sayable before anything learns.
        let first = &windows.in_order()[..windows.len().min(FIRST_WINDOWS)];
        teacher.texts(first, usize::MAX / 2, &context.seeds.child("first"))?;
        let failed = Mutex::default();
        let objective = Answers { teacher: &teacher, reader: &setup.asking.reader, failed };
        let checkpoint = context.checkpoints.map(|folder| folder.join(CHECKPOINT_FILE));
        let trainer = Trainer {
            settings: &self.training,
            questions: &[Question {
                name: "answers",
                objective: &objective,
                prefix: "objective.answers".to_owned(),
                schedule: Schedule::default(),
            }],
            windows: &windows,
            facts: &facts,
            seeds: context.seeds.child("train"),
            checkpoint: checkpoint.as_ref().map(|path| (path.as_path(), &setup.identity[..])),
            observer: context.observer,
        };
        let k = self.training.validation_k;
        let judge = |model: &Transformer| validate(&self.written(model, setup)?, context, k);
        // Without candidates a question that names them cannot be asked.
        let chooses = !setup.asking.task.speaks_of("candidates");
        let Outcome { epochs, before, .. } = trainer.run(model, chooses.then_some(&judge))?;
        if let (Some(meter), Some(folder)) = (meter, context.checkpoints) {
            let cost = before.map_or(meter.read(), |before| before.then(meter.read()));
            let trained_parameters = model.parameters().n_learning();
            let (stage, epochs) = ("train".to_owned(), Some(epochs));
            costs::write(
                folder,
                &[StageCost { stage, trained_parameters, epochs, cost, spent: None }],
            )?;
        }
        Ok(())
    }
}

fn unsuitable(reason: &str) -> Error {
    let reason = reason.to_owned();
    tastemaker_core::Error::Unsuitable { recommender: NAME, reason }.into()
}

/// Whether some items of the data have titles.
fn has_titles(data: &Dataset) -> bool {
    (0..).map(ItemId).take(data.n_items()).any(|item| written_title(data, item).is_some())
}

impl FitRecommender for TextToText {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let setup = self.setup(context)?;
        let vocabulary = setup.n_tokens as usize + SPECIAL_TOKENS;
        let (device, weights) = (self.training.device.open()?, context.seeds.child("weights"));
        let model = Transformer::on(device, &self.backbone, vocabulary, &weights)?;
        let file = context.checkpoints.map(|folder| folder.join(MODEL_FILE));
        match &file {
            Some(path) if path.exists() => {
                let read = Checkpoint::<String>::read(path)?;
                if read.about != setup.identity {
                    return Err(Error::OtherRun { path: path.clone() });
                }
                model.parameters().set(|name, dims| read.tensor(path, name, dims))?;
            }
            _ => {
                self.learn(&model, &setup, context)?;
                if let (Some(path), Some(folder)) = (&file, context.checkpoints) {
                    let (about, tensors) = (setup.identity.clone(), tensors(&model, |_| true)?);
                    Checkpoint { about, tensors }.write(path)?;
                    remove_checkpoint(&folder.join(CHECKPOINT_FILE))?;
                    let written = self.written(&model, &setup)?;
                    let teacher = self.teacher(context, (&setup.asking.speech, &setup.tasks));
                    let (asked, seeds) = ((&teacher, &setup.asking.reader), &context.seeds);
                    let answers = (&written.model, setup.n_tokens);
                    judged::write(answers, asked, &seeds.child("judged"), folder)?;
                    return Ok(Box::new(written));
                }
            }
        }
        Ok(Box::new(self.written(&model, &setup)?))
    }

    fn restore(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let names = [MODEL_FILE, TOKENIZER_FILE];
        let files = context.checkpoints.map(|folder| names.map(|name| folder.join(name)));
        match files.into_iter().flatten().find(|path| !path.exists()) {
            Some(path) => {
                let problem = "a file of a run that has ended is missing".to_owned();
                Err(tastemaker_nn::Error::Checkpoint { path, problem }.into())
            }
            None => self.fit(context),
        }
    }

    fn problems(&self) -> Vec<Error> {
        let shape = self.backbone.as_dyn().shape();
        let mut problems: Vec<Error> = match shape {
            Err(error) => vec![Error::from(error).at("backbone")],
            Ok(shape) => {
                let sees = self.backbone.as_dyn().is_bidirectional();
                let told = !shape.views.is_empty() || shape.style.intervals;
                let short = check("max-length", shape.max_length, 16..=1 << 20);
                let writes = "one that writes from left to right";
                let only = "no views and no intervals, which words have not";
                let sees = sees.then(|| setting("backbone", self.backbone.name(), writes));
                let told = told.then(|| setting("backbone", "with views or intervals", only));
                let short = short.map(|problem| problem.at("backbone"));
                sees.into_iter().chain(told).chain(short).collect()
            }
        };
        problems.extend(match self.tokenizer {
            Tokens::Bpe(learnt) | Tokens::WordPiece(learnt) => {
                let range = check("vocabulary", learnt.vocabulary, 300..=1 << 20);
                range.map(|problem| problem.at("tokenizer"))
            }
            Tokens::File(_) => None,
        });
        if let ItemNames::Codes(tokenisation) = &self.names {
            problems.extend(tokenisation.problem().map(|problem| problem.at("names.codes")));
            if tokenisation.beams() != RandomIds::default().beams {
                let expected = "left out: those of text-to-text itself are kept";
                let problem = setting("beams", tokenisation.beams(), expected);
                problems.push(problem.at("names.codes"));
            }
        }
        problems.extend(tasks::problems(&self.tasks, &self.families));
        problems.extend(check("last-items", self.last_items, 1..=10_000));
        problems.extend(check("candidates", self.candidates, 2..=10_000));
        problems.extend(check("beams", self.beams, 1..=10_000));
        problems.extend(self.training.problems().into_iter().map(Error::from));
        if self.training.privacy.is_some() {
            let expected =
                "absent: its words are counted in everybody's, and a question is no user";
            problems.push(setting("privacy", "set", expected).at("training"));
        }
        if !self.training.counterfactual.is_empty() {
            let expected = "none: text-to-text is told of users by its tasks' words alone";
            let problem =
                setting("counterfactual", self.training.counterfactual.join(", "), expected);
            problems.push(problem.at("training.counterfactual"));
        }
        problems
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<Error> {
        let data = given.data;
        let mut problems = tasks::unsuitable(&self.tasks, &self.families, data);
        let balance = self.training.balance.as_ref().and_then(|of| ungroupable(of, data));
        problems.extend(
            balance.map(|why| unsuitable(&format!("balance: {why}")).at("training.balance")),
        );
        problems.extend(match &self.names {
            ItemNames::Titles if !has_titles(data) => {
                Some(unsuitable("the items have no titles").at("names"))
            }
            ItemNames::Codes(tokenisation) => {
                tokenisation.unsuitable(data).map(|p| p.at("names.codes"))
            }
            _ => None,
        });
        if let Tokens::File(path) = &self.tokenizer {
            let read = TextTokenizer::read(path, usize::MAX).err();
            problems.extend(read.map(|error| Error::from(error).at("tokenizer.file")));
        }
        if problems.is_empty()
            && recommending(&asked(&self.tasks, &self.families, Some(data))).is_none()
        {
            let reason = "it lacks what every task speaks of that asks for an item";
            problems.push(unsuitable(reason).at("tasks"));
        }
        let mut users = data.interactions.users();
        if !users.any(|user| given.split.cuts(user).train_end >= 2) {
            problems.push(unsuitable(UNTAUGHT));
        }
        // Without candidates a question that names them cannot be asked.
        let unchosen = unchosen(data, given.split).filter(|_| !self.needs_candidates());
        problems.extend(unchosen.map(unsuitable));
        problems
    }

    fn needs_candidates(&self) -> bool {
        recommending(&asked(&self.tasks, &self.families, None))
            .is_some_and(|task| task.speaks_of("candidates"))
    }

    fn prompt(&self, context: &FitContext<'_>, query: &RecQuery<'_>) -> Result<Option<Shown>> {
        let read = self.setup(context)?.asking.question(query)?;
        let told = query.history.len().min(self.last_items);
        Ok(Some(Shown {
            text: read.text,
            tokens: read.tokens,
            items: told.saturating_sub(read.left_out),
            left_out: read.left_out,
        }))
    }
}
