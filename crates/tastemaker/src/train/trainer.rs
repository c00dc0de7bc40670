//! The one training loop.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use candle_core::Tensor;
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::gradients::Gradients;
use tastemaker_nn::transformer::{Pass, Transformer};

use super::resume::{self, Best, Progress, Weights};
use super::{
    Asked, Batch, BatchSize, Cost, Event, Facts, Meter, ObjectiveLoss, Observer, Schedule, Spent,
    Training, Window, Windows, pack,
};
use crate::objectives::Objective;
use crate::{Error, Result};

/// Trains a model on windows of sequences with an objective.
///
/// Everything random in an epoch follows from the seeds and the epoch's number, and a checkpoint
/// holds everything else, so training that was interrupted and goes on ends in the same bytes.
pub struct Trainer<'a> {
    /// How long, how fast.
    pub settings: &'a Training,
    /// What is asked; the first question names the others' random choices nothing.
    pub questions: &'a [Question<'a>],
    /// What is learnt from.
    pub windows: &'a Windows<'a>,
    /// What objectives may know beside it.
    pub facts: &'a Facts<'a>,
    /// Batches, masks and dropout follow from these.
    pub seeds: SeedTree,
    /// The file that training goes on from, and what is trained, as a checkpoint names it.
    pub checkpoint: Option<(&'a Path, &'a str)>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
}

/// An objective, and how much it counts.
pub struct Question<'a> {
    /// The objective's name.
    pub name: &'static str,
    /// The objective.
    pub objective: &'a dyn Objective,
    /// What the names of its own parameters begin with.
    pub prefix: String,
    /// How much it counts, and when.
    pub schedule: Schedule,
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The epoch whose weights the model has, from 0.
    pub best_epoch: usize,
    /// Its validation, if there was one to choose by.
    pub validation: Option<f64>,
    /// Epochs that were trained.
    pub epochs: usize,
    /// What was taken up to the checkpoint that this went on from, if that was measured.
    pub before: Option<Cost>,
    /// What it spent of users' privacy, where that is bounded.
    pub spent: Option<Spent>,
}

/// What validates a model.
pub(super) type Validate<'a> = &'a dyn Fn(&Transformer) -> Result<f64>;

/// The losses of an epoch's steps, added up.
pub(super) struct Losses {
    /// Of all questions together, weighted.
    pub(super) total: f64,
    /// Of each question by itself, and how often it counted.
    own: Vec<(f64, usize)>,
}

impl Losses {
    /// None yet, of so many questions.
    pub(super) fn of(questions: &[Question<'_>]) -> Self {
        Self { total: 0.0, own: vec![(0.0, 0); questions.len()] }
    }
}

/// A part of a step: for each question that counts in this epoch its number and its batch.
pub(super) type Part = Vec<(usize, Batch)>;

/// Batches that are packed before they are asked for.
const BATCHES_AHEAD: usize = 4;

fn scaled(loss: &Tensor, factor: f64) -> Result<Tensor> {
    Ok((loss * factor).map_err(tastemaker_nn::Error::from)?)
}

impl Trainer<'_> {
    /// Trains `model` until its validation has stopped rising or the epochs are over, and leaves
    /// it with the weights of its best epoch. Where nothing can `validate` it, that is the last; so it
    /// is in private training, where a choice by validation would look past what is accounted for.
    pub fn run(&self, model: &Transformer, validate: Option<Validate<'_>>) -> Result<Outcome> {
        let (parameters, privacy) = (model.parameters(), self.settings.privacy);
        let validate = validate.filter(|_| privacy.is_none());
        let mut optimiser = AdamW::new(parameters, self.settings.weight_decay);
        let resumed = match self.checkpoint {
            Some((path, run)) => resume::read(path, run, parameters, &mut optimiser)?,
            None => None,
        };
        let goes_on = self.checkpoint.filter(|_| resumed.is_some());
        let before = goes_on.and_then(|(path, _)| resume::read_cost(path));
        let (mut progress, mut best) = resumed.unwrap_or_default();
        self.observer.observe(&Event::Started {
            epoch: progress.epochs,
            epochs: self.settings.epochs,
            steps_per_epoch: self.steps_per_epoch(),
            trained_parameters: parameters.n_learning(),
            users: self.windows.n_users(),
            interactions: self.windows.n_tokens(),
        });
        while !progress.finished && progress.epochs < self.settings.epochs {
            let losses = match privacy {
                None => self.epoch(progress.epochs, model, &mut optimiser)?,
                Some(how) => self.private_epoch(how, progress.epochs, model, &mut optimiser)?,
            };
            self.judge(losses, model, validate, (&mut progress, &mut best))?;
            progress.steps = optimiser.steps();
            if let Some((path, run)) = self.checkpoint {
                resume::write(path, run, &progress, (parameters, &optimiser, &best))?;
                if let Some(cost) = self.observer.meter().map(Meter::read) {
                    let cost = before.map_or(cost, |before| before.then(cost));
                    resume::write_cost(path, cost)?;
                }
            }
        }
        let Some(Best { epoch, value }) = progress.best else {
            return Err(Error::NeverValidated);
        };
        parameters.set(|name, _| Ok(&best[name]))?;
        let epochs = progress.epochs;
        let stopped_early = epochs < self.settings.epochs;
        self.observer.observe(&Event::Finished {
            best_epoch: epoch,
            validation: value,
            stopped_early,
        });
        let spent = privacy.map(|privacy| privacy.spent(self.rate(), progress.steps));
        if let Some(spent) = spent {
            self.observer.observe(&Event::Spent(spent));
        }
        Ok(Outcome { best_epoch: epoch, validation: value, epochs, before, spent })
    }

    fn batch_size(&self) -> BatchSize {
        match self.settings.batch_tokens {
            0 => BatchSize::Sequences(self.settings.batch_size),
            tokens => BatchSize::Tokens(tokens),
        }
    }

    /// Optimiser steps an epoch; with a budget of tokens about, since the order decides. A private
    /// step takes users, not windows.
    pub(super) fn steps_per_epoch(&self) -> usize {
        if self.settings.privacy.is_some() {
            return self.windows.n_users().div_ceil(self.settings.batch_size);
        }
        match self.batch_size() {
            BatchSize::Sequences(n) => self.windows.len().div_ceil(n),
            BatchSize::Tokens(n) => self.windows.n_tokens().div_ceil(n),
        }
    }

    /// Passes over all windows once; returns the mean losses of the steps. Batches are packed on a
    /// thread of their own while the step before learns.
    fn epoch(
        &self,
        epoch: usize,
        model: &Transformer,
        optimiser: &mut AdamW,
    ) -> Result<(f64, Vec<ObjectiveLoss>)> {
        let seeds = self.seeds.child("epoch").index(epoch as u64);
        let order = self.windows.shuffled(&seeds.child("order"));
        let batches = self.batch_size().cut(&order);
        let counts = self.counting(epoch);
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(BATCHES_AHEAD);
            let (seeds, batches, counts) = (&seeds, &batches, &counts);
            scope.spawn(move || {
                for (i, windows) in (0..).zip(batches) {
                    let parts = self.pack(counts, windows, &seeds.index(i));
                    // Nobody listens any more: a step's error has ended the epoch.
                    if sender.send(parts).is_err() {
                        return;
                    }
                }
            });
            let mut losses = Losses::of(self.questions);
            for (i, parts) in (0..).zip(receiver) {
                self.step(epoch, model, optimiser, (&parts, &seeds.index(i)), &mut losses)?;
            }
            Ok((losses.total / batches.len() as f64, self.apart(&losses)))
        })
    }

    /// The mean loss of each question that counted, where there are several.
    pub(super) fn apart(&self, losses: &Losses) -> Vec<ObjectiveLoss> {
        if self.questions.len() == 1 {
            return vec![];
        }
        let counted = self.questions.iter().zip(&losses.own).filter(|(_, (_, steps))| *steps > 0);
        let mean = |(question, &(sum, steps)): (&Question<'_>, &(f64, usize))| ObjectiveLoss {
            objective: question.name.to_owned(),
            loss: sum / steps as f64,
        };
        counted.map(mean).collect()
    }

    /// The questions that count in `epoch`.
    pub(super) fn counting(&self, epoch: usize) -> Vec<usize> {
        let counts = |i: &usize| self.questions[*i].schedule.at(epoch, self.settings.epochs) > 0.0;
        (0..self.questions.len()).filter(counts).collect()
    }

    /// The parts of a step on `windows`.
    pub(super) fn pack(
        &self,
        counts: &[usize],
        windows: &[Window<'_>],
        seeds: &SeedTree,
    ) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for &question in counts {
            // The first question's choices are those of a training that asks nothing else.
            let ask = seeds.child("ask");
            let ask = if question == 0 { ask } else { ask.index(question as u64) };
            let objective = self.questions[question].objective;
            let batches = pack(objective, windows, self.facts, &ask, self.settings.accumulate);
            parts.resize_with(parts.len().max(batches.len()), Vec::new);
            for (part, batch) in parts.iter_mut().zip(batches) {
                if batch.n_asked() > 0 {
                    part.push((question, batch));
                }
            }
        }
        parts
    }

    /// Learns from the parts of one batch and adds its mean losses to `losses`.
    fn step(
        &self,
        epoch: usize,
        model: &Transformer,
        optimiser: &mut AdamW,
        (parts, seeds): (&[Part], &SeedTree),
        losses: &mut Losses,
    ) -> Result<()> {
        let (loss, gradients) = self.gradients(epoch, model, (parts, seeds), losses)?;
        let clip = self.settings.gradient_clip;
        self.learn(epoch, model, optimiser, (loss, &gradients), clip)?;
        losses.total += loss;
        Ok(())
    }

    /// Takes a step against gradients, scaled down to the norm `clip` (0 clips nothing).
    pub(super) fn learn(
        &self,
        epoch: usize,
        model: &Transformer,
        optimiser: &mut AdamW,
        (loss, gradients): (f64, &Gradients),
        clip: f64,
    ) -> Result<()> {
        let step = usize::try_from(optimiser.steps()).unwrap_or(usize::MAX);
        let steps = self.settings.epochs * self.steps_per_epoch();
        let learning_rate = self.settings.learning_rate_at(step, steps);
        let gradient_norm = optimiser.step(model.parameters(), gradients, learning_rate, clip)?;
        self.observer.observe(&Event::Step { epoch, step, loss, gradient_norm, learning_rate });
        Ok(())
    }

    /// The mean loss over what all parts ask, each question weighted, and its gradients; adds each
    /// question's own loss to `losses`.
    pub(super) fn gradients(
        &self,
        epoch: usize,
        model: &Transformer,
        (parts, seeds): (&[Part], &SeedTree),
        losses: &mut Losses,
    ) -> Result<(f64, Gradients)> {
        let mut asked = vec![0; self.questions.len()];
        for (question, batch) in parts.iter().flatten() {
            asked[*question] += batch.n_asked();
        }
        let (mut total, mut gradients) = (0.0, Gradients::default());
        for (i, part) in (0..).zip(parts) {
            // The first part's seeds are those of a batch that is not divided.
            let seeds = if i == 0 { *seeds } else { seeds.child("part").index(i) };
            for (question, batch) in part {
                let share = batch.n_asked() as f64 / asked[*question] as f64;
                let weight = self.questions[*question].schedule.at(epoch, self.settings.epochs);
                let seeds = match question {
                    0 => seeds,
                    &other => seeds.child("question").index(other as u64),
                };
                let loss = self.loss(model, (*question, batch), &seeds)?;
                let value = f64::from(loss.to_scalar::<f32>().map_err(tastemaker_nn::Error::from)?);
                losses.own[*question].0 += value * share;
                total += value * share * weight;
                let factor = share * weight;
                let whole = (factor - 1.0).abs() < f64::EPSILON;
                let loss = if whole { loss } else { scaled(&loss, factor)? };
                gradients.add(model.gradients(&loss)?)?;
            }
        }
        for (own, asked) in losses.own.iter_mut().zip(&asked) {
            own.1 += usize::from(*asked > 0);
        }
        Ok((total, gradients))
    }

    fn loss(
        &self,
        model: &Transformer,
        (question, batch): (usize, &Batch),
        seeds: &SeedTree,
    ) -> Result<Tensor> {
        let Training { recompute, precision, .. } = *self.settings;
        let Question { objective, prefix, .. } = &self.questions[question];
        let sides = Some(objective.sides());
        let pass = Pass { seed: seeds.child("dropout").seed(), sides, recompute, precision };
        let asked = Asked { model, pass, batch, facts: self.facts, prefix };
        objective.loss(&asked, &mut seeds.child("negatives").rng())
    }

    /// Ends an epoch: validates it if its turn has come, keeps the best and decides whether to go on.
    fn judge(
        &self,
        (loss, losses): (f64, Vec<ObjectiveLoss>),
        model: &Transformer,
        validate: Option<Validate<'_>>,
        (progress, best): (&mut Progress, &mut Weights),
    ) -> Result<()> {
        let epoch = progress.epochs;
        progress.epochs += 1;
        let last = progress.epochs == self.settings.epochs;
        let turn = last || progress.epochs.is_multiple_of(self.settings.validate_every);
        let validation = match validate {
            Some(validate) if turn => Some(validate(model)?),
            _ => None,
        };
        let better = |value: f64| {
            progress.best.is_none_or(|best| best.value.is_none_or(|best| value > best))
        };
        let is_best = if validate.is_some() { validation.is_some_and(better) } else { last };
        if is_best {
            progress.best = Some(Best { epoch, value: validation });
            progress.since_best = 0;
            for (name, _) in model.parameters().iter() {
                best.insert(name.to_owned(), model.parameters().values(name)?);
            }
        } else if validation.is_some() {
            progress.since_best += 1;
        }
        progress.finished = last || progress.since_best >= self.settings.patience;
        self.observer.observe(&Event::Epoch { epoch, loss, losses, validation, best: is_best });
        Ok(())
    }
}
