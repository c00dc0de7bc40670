//! What a person sees while a study runs.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tastemaker::StudyObserver;
use tastemaker::core::prepare::Prepared;
use tastemaker::core::splits::SplitSets;
use tastemaker::endpoint::Spent;
use tastemaker::search::Trial;
use tastemaker::train::{Event, Meter, ObjectiveLoss, Observer};

use crate::meter::Process;

/// Tells each epoch as a line and, on a terminal, the steps between as a bar with rate and
/// remaining time.
pub(crate) struct Progress {
    state: Mutex<State>,
    meter: Process,
}

struct State {
    bar: ProgressBar,
    steps_per_epoch: usize,
}

impl Progress {
    /// A bar if standard error is a terminal and not everything is to be `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template(
            "{bar:30} step {pos} of at most {len}, {per_sec}, {eta} left at most  {msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let state = Mutex::new(State { bar, steps_per_epoch: 0 });
        Self { state, meter: Process::new() }
    }

    fn with(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    /// A line above the bar.
    fn say(&self, line: &str) {
        self.bar.suspend(|| tracing::info!("{line}"));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Stage { stage } => self.say(&format!("  stage {stage}")),
            Event::Started {
                epoch,
                epochs,
                steps_per_epoch,
                trained_parameters,
                users,
                interactions,
            } => {
                self.steps_per_epoch = *steps_per_epoch;
                self.bar.set_length((epochs * steps_per_epoch) as u64);
                self.bar.set_position((epoch * steps_per_epoch) as u64);
                self.bar.reset_eta();
                let from = if *epoch > 0 {
                    format!(", goes on from epoch {epoch}")
                } else {
                    String::new()
                };
                self.say(&format!(
                    "  {trained_parameters} parameters learn from {interactions} interactions of {users} users, \
                     at most {epochs} epochs of {steps_per_epoch} steps{from}"
                ));
            }
            Event::Step { step, loss, .. } => {
                self.bar.set_position((step + 1) as u64);
                self.bar.set_message(format!("loss {loss:.4}"));
            }
            Event::Epoch { epoch, loss, losses, validation, best } => {
                let of = |of: &ObjectiveLoss| format!("{} {:.4}", of.objective, of.loss);
                let apart: Vec<String> = losses.iter().map(of).collect();
                let apart = if apart.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", apart.join(", "))
                };
                let validation = validation.map(|value| {
                    format!("  validation {value:.4}{}", if *best { " (best)" } else { "" })
                });
                self.say(&format!(
                    "  epoch {epoch:>3}  loss {loss:.4}{apart}{}",
                    validation.unwrap_or_default()
                ));
            }
            Event::Finished { best_epoch, validation, stopped_early } => {
                self.bar.finish_and_clear();
                let why = if *stopped_early { ", stopped early" } else { "" };
                let value = validation.map(|value| format!(", validation {value:.4}"));
                self.say(&format!("  kept epoch {best_epoch}{}{why}", value.unwrap_or_default()));
            }
            Event::Spent(spent) => self.say(&format!("  {spent}")),
        }
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        self.with(|state| state.event(event));
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(&self.meter)
    }
}

impl StudyObserver for Progress {
    fn data(&self, data: &Prepared, split: &SplitSets) {
        let manifest = &data.manifest;
        let counts = manifest.counts;
        self.with(|state| {
            state.say(&format!("{}: {}", manifest.name, manifest.format));
            for note in &manifest.notes {
                state.say(&format!("  note: {note}"));
            }
            state.say(&format!(
                "  {} users, {} items, {} interactions; split {} ({})",
                counts.users,
                counts.items,
                counts.interactions,
                split.name(),
                &split.hash()[..12]
            ));
        });
    }

    fn run(&self, arm: &str, seed: u64, folder: &Path, ended: bool) {
        let folder = folder.display();
        let what =
            if ended { format!("has ended before, see {folder}") } else { format!("in {folder}") };
        self.with(|state| state.say(&format!("{arm}, seed {seed}, {what}")));
    }

    fn spent(&self, model: &str, spent: &Spent) {
        self.with(|state| state.say(&format!("  asked {model}: {spent}")));
    }

    fn trial(&self, arm: &str, trial: &Trial) {
        let Trial { settings, validation, .. } = trial;
        let said = |(keys, value)| format!("{keys} = {value}");
        let settings: Vec<String> = settings.iter().map(said).collect();
        let settings =
            if settings.is_empty() { "as written".to_owned() } else { settings.join(", ") };
        self.with(|state| state.say(&format!("{arm}, trial: {validation:.4}  {settings}")));
    }
}
