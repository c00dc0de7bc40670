//! What training tells while it runs.

use serde::{Deserialize, Serialize};

use super::{Meter, Spent};

/// Something that happened in training. Nothing in it depends on the clock, so the events of a
/// repeated run are the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// A stage of the plan begins.
    Stage {
        /// Its name.
        stage: String,
    },
    /// Training starts or goes on from a checkpoint.
    Started {
        /// The first epoch that will run, from 0; above 0 after a resume.
        epoch: usize,
        /// The most epochs that can run.
        epochs: usize,
        /// Optimiser steps an epoch.
        steps_per_epoch: usize,
        /// How many weights learn.
        trained_parameters: usize,
        /// Users whose interactions are learnt from.
        #[serde(default)]
        users: usize,
        /// Their interactions in windows, targets among them.
        #[serde(default)]
        interactions: usize,
    },
    /// One optimiser step was taken.
    Step {
        /// The epoch, from 0.
        epoch: usize,
        /// Optimiser steps so far, over all epochs.
        step: usize,
        /// The batch's mean loss.
        loss: f64,
        /// Norm of the gradient before clipping.
        gradient_norm: f64,
        /// The learning rate of this step.
        learning_rate: f64,
    },
    /// An epoch ended.
    Epoch {
        /// The epoch, from 0.
        epoch: usize,
        /// Mean loss over the epoch.
        loss: f64,
        /// That of each objective by itself, before it is weighted, where there are several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        losses: Vec<ObjectiveLoss>,
        /// The validation metric, where this epoch was validated.
        validation: Option<f64>,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Training ended.
    Finished {
        /// The epoch whose weights are kept, from 0.
        best_epoch: usize,
        /// Its validation metric, if there was one to choose by.
        validation: Option<f64>,
        /// Whether patience ended it before the last epoch.
        stopped_early: bool,
    },
    /// Private training has ended: what it spent.
    Spent(Spent),
}

/// The loss of one of several objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectiveLoss {
    /// Its name.
    pub objective: String,
    /// Its mean over the steps of the epoch at which it counted.
    pub loss: f64,
}

/// Is told what happens in training.
pub trait Observer: Sync {
    /// Something happened.
    fn observe(&self, event: &Event);

    /// What measures the costs of a run, if anything does.
    fn meter(&self) -> Option<&dyn Meter> {
        None
    }

    /// Whom it tells itself, if it keeps a run's log: what is shared by runs is told there.
    fn beneath(&self) -> Option<&dyn Observer> {
        None
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: &Event) {}
}
