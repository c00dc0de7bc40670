//! The one training loop.

use std::path::Path;

use candle_core::Tensor;
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::transformer::Transformer;

use super::resume::{self, Best, Progress, Weights};
use super::{Batch, Event, Observer, Training, Windows, pack};
use crate::objectives::Objective;
use crate::{Error, Result};

/// Trains a model on windows of sequences with an objective.
///
/// Everything random in an epoch follows from the seeds and the epoch's number, and a checkpoint
/// holds everything else, so training that was interrupted and goes on ends in the same bytes.
pub struct Trainer<'a> {
    /// How long, how fast.
    pub settings: &'a Training,
    /// What is asked.
    pub objective: &'a dyn Objective,
    /// What is learnt from.
    pub windows: &'a Windows<'a>,
    /// Items in the catalog.
    pub n_items: u32,
    /// Batches, masks and dropout follow from these.
    pub seeds: SeedTree,
    /// The file that training goes on from, and what is trained, as a checkpoint names it.
    pub checkpoint: Option<(&'a Path, &'a str)>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The epoch whose weights the model has, from 0.
    pub best_epoch: usize,
    /// Its validation.
    pub validation: f64,
}

impl Trainer<'_> {
    /// Trains `model` until its validation has stopped rising or the epochs are over, and leaves
    /// it with the weights of its best epoch.
    pub fn run(
        &self,
        model: &Transformer,
        validate: impl Fn(&Transformer) -> Result<f64>,
    ) -> Result<Outcome> {
        let parameters = model.parameters();
        let mut optimiser = AdamW::new(parameters, self.settings.weight_decay);
        let resumed = match self.checkpoint {
            Some((path, run)) => resume::read(path, run, parameters, &mut optimiser)?,
            None => None,
        };
        let (mut progress, mut best) = resumed.unwrap_or_default();
        self.observer.observe(&Event::Started {
            epoch: progress.epochs,
            epochs: self.settings.epochs,
            steps_per_epoch: self.steps_per_epoch(),
            trained_parameters: parameters.n_parameters(),
        });
        while !progress.finished && progress.epochs < self.settings.epochs {
            let loss = self.epoch(progress.epochs, model, &mut optimiser)?;
            self.judge(loss, model, &validate, (&mut progress, &mut best))?;
            progress.steps = optimiser.steps();
            if let Some((path, run)) = self.checkpoint {
                resume::write(path, run, &progress, (parameters, &optimiser, &best))?;
            }
        }
        let Some(Best { epoch, value }) = progress.best else {
            return Err(Error::NeverValidated);
        };
        parameters.set(|name, _| Ok(&best[name]))?;
        let stopped_early = progress.epochs < self.settings.epochs;
        self.observer.observe(&Event::Finished {
            best_epoch: epoch,
            validation: value,
            stopped_early,
        });
        Ok(Outcome { best_epoch: epoch, validation: value })
    }

    fn steps_per_epoch(&self) -> usize {
        self.windows.len().div_ceil(self.settings.batch_size)
    }

    /// Passes over all windows once; returns the mean loss of the steps.
    fn epoch(&self, epoch: usize, model: &Transformer, optimiser: &mut AdamW) -> Result<f64> {
        let seeds = self.seeds.child("epoch").index(epoch as u64);
        let order = self.windows.shuffled(&seeds.child("order"));
        let mut total = 0.0;
        for (i, windows) in order.chunks(self.settings.batch_size).enumerate() {
            let seeds = seeds.index(i as u64);
            let batch = pack(self.objective, windows, self.n_items, &seeds.child("ask"));
            let loss = self.loss(model, &batch, &seeds)?;
            let step = epoch * self.steps_per_epoch() + i;
            let learning_rate =
                self.settings.learning_rate_at(step, self.settings.epochs * self.steps_per_epoch());
            let gradients = loss.backward().map_err(tastemaker_nn::Error::from)?;
            let clip = self.settings.gradient_clip;
            let gradient_norm =
                optimiser.step(model.parameters(), &gradients, learning_rate, clip)?;
            let loss = f64::from(loss.to_scalar::<f32>().map_err(tastemaker_nn::Error::from)?);
            total += loss;
            self.observer.observe(&Event::Step { epoch, step, loss, gradient_norm, learning_rate });
        }
        Ok(total / self.steps_per_epoch() as f64)
    }

    fn loss(&self, model: &Transformer, batch: &Batch, seeds: &SeedTree) -> Result<Tensor> {
        let dropout = seeds.child("dropout").seed();
        let mut hidden = model.forward(batch.tokens.clone(), &batch.lanes, dropout)?;
        if let Some(rows) = &batch.rows {
            let select = |hidden: &Tensor| {
                hidden.index_select(&Tensor::from_slice(rows, rows.len(), hidden.device())?, 0)
            };
            hidden = select(&hidden).map_err(tastemaker_nn::Error::from)?;
        }
        self.objective.loss(&hidden, model.table(), batch, &mut seeds.child("negatives").rng())
    }

    /// Ends an epoch: validates it if its turn has come, keeps the best and decides whether to go on.
    fn judge(
        &self,
        loss: f64,
        model: &Transformer,
        validate: &impl Fn(&Transformer) -> Result<f64>,
        (progress, best): (&mut Progress, &mut Weights),
    ) -> Result<()> {
        let epoch = progress.epochs;
        progress.epochs += 1;
        let last = progress.epochs == self.settings.epochs;
        let turn = last || progress.epochs.is_multiple_of(self.settings.validate_every);
        let validation = if turn { Some(validate(model)?) } else { None };
        let better = |value: f64| progress.best.is_none_or(|best| value > best.value);
        let is_best = validation.is_some_and(better);
        if let Some(value) = validation {
            if is_best {
                progress.best = Some(Best { epoch, value });
                progress.since_best = 0;
                for (name, _) in model.parameters().iter() {
                    best.insert(name.to_owned(), model.parameters().values(name)?);
                }
            } else {
                progress.since_best += 1;
            }
        }
        progress.finished = last || progress.since_best >= self.settings.patience;
        self.observer.observe(&Event::Epoch { epoch, loss, validation, best: is_best });
        Ok(())
    }
}
