//! The one training loop.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use candle_core::Tensor;
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::gradients::Gradients;
use tastemaker_nn::transformer::{Pass, Transformer};

use super::resume::{self, Best, Progress, Weights};
use super::{Batch, BatchSize, Event, Observer, Training, Windows, pack};
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

/// Batches that are packed before they are asked for.
const BATCHES_AHEAD: usize = 4;

fn scaled(loss: &Tensor, factor: f64) -> Result<Tensor> {
    Ok((loss * factor).map_err(tastemaker_nn::Error::from)?)
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
            trained_parameters: parameters.n_learning(),
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

    fn batch_size(&self) -> BatchSize {
        match self.settings.batch_tokens {
            0 => BatchSize::Sequences(self.settings.batch_size),
            tokens => BatchSize::Tokens(tokens),
        }
    }

    /// Optimiser steps an epoch; with a budget of tokens about, since the order decides.
    fn steps_per_epoch(&self) -> usize {
        match self.batch_size() {
            BatchSize::Sequences(n) => self.windows.len().div_ceil(n),
            BatchSize::Tokens(n) => self.windows.n_tokens().div_ceil(n),
        }
    }

    /// Passes over all windows once; returns the mean loss of the steps. Batches are packed on a
    /// thread of their own while the step before learns.
    fn epoch(&self, epoch: usize, model: &Transformer, optimiser: &mut AdamW) -> Result<f64> {
        let seeds = self.seeds.child("epoch").index(epoch as u64);
        let order = self.windows.shuffled(&seeds.child("order"));
        let batches = self.batch_size().cut(&order);
        let (objective, parts, n_items) = (self.objective, self.settings.accumulate, self.n_items);
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(BATCHES_AHEAD);
            let (seeds, batches) = (&seeds, &batches);
            scope.spawn(move || {
                for (i, windows) in (0..).zip(batches) {
                    let ask = seeds.index(i).child("ask");
                    let batch = pack(objective, windows, n_items, &ask, parts);
                    // Nobody listens any more: a step's error has ended the epoch.
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            });
            let mut total = 0.0;
            for (i, batch) in (0..).zip(receiver) {
                total += self.step(epoch, model, optimiser, (&batch, &seeds.index(i)))?;
            }
            Ok(total / batches.len() as f64)
        })
    }

    /// Learns from the parts of one batch; returns its mean loss.
    fn step(
        &self,
        epoch: usize,
        model: &Transformer,
        optimiser: &mut AdamW,
        (parts, seeds): (&[Batch], &SeedTree),
    ) -> Result<f64> {
        let step = usize::try_from(optimiser.steps()).unwrap_or(usize::MAX);
        let (loss, gradients) = self.gradients(model, parts, seeds)?;
        let steps = self.settings.epochs * self.steps_per_epoch();
        let learning_rate = self.settings.learning_rate_at(step, steps);
        let clip = self.settings.gradient_clip;
        let gradient_norm = optimiser.step(model.parameters(), &gradients, learning_rate, clip)?;
        self.observer.observe(&Event::Step { epoch, step, loss, gradient_norm, learning_rate });
        Ok(loss)
    }

    /// The mean loss over the targets of all parts, and its gradients.
    fn gradients(
        &self,
        model: &Transformer,
        parts: &[Batch],
        seeds: &SeedTree,
    ) -> Result<(f64, Gradients)> {
        let n_targets: usize = parts.iter().map(|batch| batch.targets.len()).sum();
        let (mut total, mut gradients) = (0.0, Gradients::default());
        for (i, batch) in (0..).zip(parts) {
            // The first part's seeds are those of a batch that is not divided.
            let seeds = if i == 0 { *seeds } else { seeds.child("part").index(i) };
            let share = batch.targets.len() as f64 / n_targets as f64;
            let loss = self.loss(model, batch, &seeds)?;
            let loss = if parts.len() == 1 { loss } else { scaled(&loss, share)? };
            gradients.add(model.gradients(&loss)?)?;
            total += f64::from(loss.to_scalar::<f32>().map_err(tastemaker_nn::Error::from)?);
        }
        Ok((total, gradients))
    }

    fn loss(&self, model: &Transformer, batch: &Batch, seeds: &SeedTree) -> Result<Tensor> {
        let Training { recompute, precision, .. } = *self.settings;
        let pass = Pass { seed: seeds.child("dropout").seed(), recompute, precision };
        let mut hidden = model.forward(batch.tokens.clone(), &batch.lanes, pass)?;
        if let Some(rows) = &batch.rows {
            let select = |hidden: &Tensor| {
                hidden.index_select(&Tensor::from_slice(rows, rows.len(), hidden.device())?, 0)
            };
            hidden = select(&hidden).map_err(tastemaker_nn::Error::from)?;
        }
        self.objective.loss(&hidden, model.table(pass), batch, &mut seeds.child("negatives").rng())
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
