//! A language model over item sequences.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tastemaker_core::recommender::{RankOptions, rank_by_scores};
use tastemaker_core::{ItemId, RankedList, RecQuery, Recommender, TopN, artifact};
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::fused::{Keeper, RANKED_ROWS};
use tastemaker_nn::transformer::{Frozen, Transformer};

use super::{FitContext, FitRecommender};
use crate::objectives::{AnyObjective, Softmax};
use crate::train::{Outcome, Trainer, Training, Windows};
use crate::{Error, Result};

/// The file of a trained model, in the run's folder.
pub const MODEL_FILE: &str = "model.safetensors";

/// The file that an interrupted training goes on from; gone once training has ended.
pub const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

/// Queries whose histories are read together.
const QUERIES_A_PASS: usize = 1024;

/// The version of the model file; raised when its meaning changes.
const VERSION: u32 = 1;

/// A backbone that reads a history as a sequence of item tokens and foretells the next one.
///
/// # What it does
/// Trains the backbone with the objective on the training part and keeps the epoch with the best
/// NDCG over the validation targets. It recommends from a history alone, so it serves users it
/// has never seen.
///
/// # When not to use it
/// Items that nobody met in training have embeddings that learnt nothing.
///
/// # References
/// Kang and McAuley 2018 (SASRec); Sun et al. 2019 (BERT4Rec); Klenitskiy and Vasilev 2023.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LanguageModel {
    /// The architecture.
    pub backbone: AnyBackbone,
    /// What it learns.
    pub objective: AnyObjective,
    /// How it is trained.
    pub training: Training,
    /// How the catalog is scored once it is trained.
    pub scoring: Scoring,
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
            objective: AnyObjective::Softmax(Softmax::default()),
            training: Training::default(),
            scoring: Scoring::default(),
        }
    }
}

/// What a model file says about itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct About {
    version: u32,
    run: String,
    model: LanguageModel,
    n_items: usize,
    best_epoch: usize,
    validation: f64,
}

impl LanguageModel {
    /// Items and, if the objective hides items, the mask.
    fn vocabulary(&self, n_items: usize) -> usize {
        n_items + usize::from(self.objective.as_dyn().masks_items())
    }

    /// Tells this run from every other, in a checkpoint's own words.
    fn run(&self, context: &FitContext<'_>) -> Result<String> {
        // However it scores, it is the same model.
        let model = Self { scoring: Scoring::default(), ..self.clone() };
        let settings =
            serde_json::to_string(&model).map_err(|error| Error::Serialise(error.to_string()))?;
        let parts = [
            settings.as_str(),
            context.data.hash.as_str(),
            context.split.hash(),
            &context.seeds.seed().to_string(),
            &context.allow_seen.to_string(),
        ];
        Ok(artifact::sha256(parts.join("\n").as_bytes()))
    }

    fn train(&self, model: &Transformer, context: &FitContext<'_>, run: &str) -> Result<Outcome> {
        let n_items = context.data.n_items();
        let objective = self.objective.as_dyn();
        // The last item of a window is a target only, unless it can be hidden in its place.
        let longest = model.shape().max_length + usize::from(!objective.masks_items());
        let windows = Windows::new(context.data, context.split, longest);
        if windows.is_empty() {
            return Err(Error::Core(tastemaker_core::Error::Unsuitable {
                recommender: "language-model",
                reason: "no user has two interactions in the training part".to_owned(),
            }));
        }
        let checkpoint = context.checkpoints.map(|folder| folder.join(CHECKPOINT_FILE));
        let trainer = Trainer {
            settings: &self.training,
            objective,
            windows: &windows,
            n_items: u32::try_from(n_items).expect("items are numbered in 32 bits"),
            seeds: context.seeds.child("train"),
            checkpoint: checkpoint.as_deref().map(|path| (path, run)),
            observer: context.observer,
        };
        trainer.run(model, |model| {
            let recommender = Trained::new(
                model.frozen(self.training.precision)?,
                objective.masks_items(),
                n_items,
            );
            super::validate(&recommender, context, self.training.validation_k)
        })
    }

    /// Reads the model of a run that has ended.
    fn read(path: &Path, model: &Transformer, run: &str) -> Result<()> {
        let checkpoint = Checkpoint::<About>::read(path)?;
        let about = &checkpoint.about;
        if about.version != VERSION {
            let problem =
                format!("this is version {} of a model file, expected {VERSION}", about.version);
            return Err(tastemaker_nn::Error::Checkpoint { path: path.to_owned(), problem }.into());
        }
        if about.run != run {
            return Err(Error::OtherRun { path: path.to_owned() });
        }
        Ok(model.parameters().set(|name, dimensions| checkpoint.tensor(path, name, dimensions))?)
    }

    fn write(path: &Path, model: &Transformer, about: About) -> Result<()> {
        let mut tensors = BTreeMap::new();
        for (name, variable) in model.parameters().iter() {
            let values = model.parameters().values(name)?;
            tensors.insert(name.to_owned(), (variable.dims().to_vec(), values));
        }
        Ok(Checkpoint { about, tensors }.write(path)?)
    }
}

impl FitRecommender for LanguageModel {
    fn problems(&self) -> Vec<Error> {
        let mut problems: Vec<Error> = Vec::new();
        problems.extend(self.backbone.as_dyn().shape().err().map(Error::from));
        problems.extend(self.objective.as_dyn().check().err().map(Error::from));
        problems.extend(self.training.problems().into_iter().map(Error::from));
        problems.extend(self.training.device.open().err().map(Error::from));
        let (masks, both_sides) =
            (self.objective.as_dyn().masks_items(), self.backbone.as_dyn().is_bidirectional());
        if masks != both_sides {
            let expected = if masks {
                "a bidirectional backbone: encoder"
            } else {
                "a causal backbone: decoder"
            };
            problems.push(Error::Core(tastemaker_core::Error::Setting {
                name: format!("the backbone of objective {}", self.objective.name()),
                found: self.backbone.name().to_owned(),
                expected: expected.to_owned(),
            }));
        }
        problems
    }

    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let n_items = context.data.n_items();
        let weights = context.seeds.child("weights");
        let device = self.training.device.open()?;
        let vocabulary = self.vocabulary(n_items);
        let model = Transformer::on(device, &self.backbone, vocabulary, &weights)?;
        let run = self.run(context)?;
        let file = context.checkpoints.map(|folder| folder.join(MODEL_FILE));
        match &file {
            Some(path) if path.exists() => Self::read(path, &model, &run)?,
            _ => {
                let Outcome { best_epoch, validation } = self.train(&model, context, &run)?;
                if let (Some(path), Some(folder)) = (&file, context.checkpoints) {
                    let (version, settings) = (VERSION, self.clone());
                    let about =
                        About { version, run, model: settings, n_items, best_epoch, validation };
                    Self::write(path, &model, about)?;
                    let checkpoint = folder.join(CHECKPOINT_FILE);
                    fs_err::remove_file(&checkpoint).map_err(|source| {
                        tastemaker_core::Error::Write { path: checkpoint, source }
                    })?;
                }
            }
        }
        let model = model.frozen(self.training.precision)?;
        let model = match self.scoring {
            Scoring::F32 => model,
            Scoring::Int8 => model.ranking_by_int8(n_items),
        };
        Ok(Box::new(Trained::new(model, self.objective.as_dyn().masks_items(), n_items)))
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

/// A trained language model as a recommender.
struct Trained {
    model: Frozen,
    masks_items: bool,
    n_items: usize,
}

impl Trained {
    fn new(model: Frozen, masks_items: bool, n_items: usize) -> Self {
        Self { model, masks_items, n_items }
    }

    /// The end of a history as the model reads it; a model that hides items finds the mask in the
    /// place of the next one. To an empty history a decoder has nothing to say: its items score
    /// alike, and the tie order decides.
    fn tokens(&self, query: &RecQuery<'_>) -> Vec<u32> {
        let room = self.model.max_length() - usize::from(self.masks_items);
        let start = query.history.len().saturating_sub(room);
        let mut tokens: Vec<u32> = query.history[start..].iter().map(|item| item.0).collect();
        if self.masks_items {
            tokens.push(u32::try_from(self.n_items).expect("items are numbered in 32 bits"));
        }
        tokens
    }

    /// What the model finds after each history: [queries, width]. To an empty one a decoder finds
    /// nothing.
    fn hidden(&self, queries: &[RecQuery<'_>]) -> tastemaker_nn::Result<Vec<f32>> {
        let mut sequences: Vec<Vec<u32>> = queries.iter().map(|query| self.tokens(query)).collect();
        let empty: Vec<usize> = (0..sequences.len()).filter(|&i| sequences[i].is_empty()).collect();
        for &i in &empty {
            sequences[i].push(0);
        }
        let (mut hidden, width) = (self.model.last_hidden(&sequences)?, self.model.width());
        for i in empty {
            hidden[i * width..(i + 1) * width].fill(0.0);
        }
        Ok(hidden)
    }

    fn score(&self, queries: &[RecQuery<'_>], scores: &mut [f32]) -> tastemaker_nn::Result<()> {
        self.model.score(&self.hidden(queries)?, self.n_items, scores);
        Ok(())
    }

    /// Ranks the whole catalog without holding more than a few of its scores.
    fn rank(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_nn::Result<Vec<RankedList>> {
        let hidden = self.hidden(queries)?;
        let hidden = hidden.par_chunks(RANKED_ROWS * self.model.width());
        let lists =
            queries.par_chunks(RANKED_ROWS).zip(hidden).flat_map_iter(|(queries, hidden)| {
                let growing = |query: &RecQuery<'_>| {
                    let seen = if options.allow_seen { &[] } else { query.history };
                    Growing(TopN::new(options.ties, options.n, seen))
                };
                let mut lists: Vec<Growing<'_>> = queries.iter().map(growing).collect();
                self.model.rank(hidden, self.n_items, &mut lists);
                lists.into_iter().map(|list| list.0.finish())
            });
        Ok(lists.collect())
    }
}

impl Recommender for Trained {
    fn name(&self) -> &'static str {
        "language-model"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let failed = |error: tastemaker_nn::Error| tastemaker_core::Error::Recommender {
            recommender: "language-model",
            source: error.into(),
        };
        if queries.iter().any(|query| query.candidates.is_some()) {
            return rank_by_scores(queries, options, |queries, scores| {
                self.score(queries, scores).map_err(failed)
            });
        }
        let mut lists = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES_A_PASS) {
            lists.extend(self.rank(queries, options).map_err(failed)?);
        }
        Ok(lists)
    }
}

/// A list that grows while items are scored.
struct Growing<'a>(TopN<'a>);

impl Keeper for Growing<'_> {
    fn bar(&self) -> f32 {
        self.0.bar()
    }

    fn offer(&mut self, class: u32, score: f32) {
        self.0.offer(ItemId(class), score);
    }
}
