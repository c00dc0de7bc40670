//! Tell other tools how a run was trained and what came out of it.

use std::path::Path;
use std::time::UNIX_EPOCH;

use tastemaker_endpoint::{Tracked, Tracker};

use crate::study::RunFolder;
use crate::tensorboard::{self, Scalar};
use crate::train::{Event, ObjectiveLoss};
use crate::{Error, Result};

/// Writes the losses and metrics of the run in `folder` to a file of events of TensorBoard in the
/// folder `out`, over one that was written before. Returns how many values they are.
pub fn export_tensorboard(folder: &Path, out: &Path) -> Result<usize> {
    let run = Told::read(&RunFolder::open(folder)?)?;
    let scalars: Vec<Scalar> = run.steps.into_iter().chain(run.epochs).chain(run.metrics).collect();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
    let ended = run.ended as f64 / 1e3;
    tensorboard::write(&out.join("events.out.tfevents.0.tastemaker"), ended, &scalars)?;
    Ok(scalars.len())
}

/// Tells a server of MLflow the settings of the run in `folder`, its losses epoch by epoch and its
/// metrics, as a run of `experiment` or of one that is called like the study. Returns what the server
/// calls it.
pub fn export_mlflow(folder: &Path, tracker: &Tracker, experiment: Option<&str>) -> Result<String> {
    let folder = RunFolder::open(folder)?;
    let study = folder.study()?;
    let run = Told::read(&folder)?;
    let table: toml::Table =
        toml::from_str(&study.to_toml()?).map_err(|error| Error::Serialise(error.to_string()))?;
    let mut parameters = Vec::new();
    flatten("", &toml::Value::Table(table), &mut parameters);
    let metrics = run.epochs.into_iter().chain(run.metrics);
    let tracked = Tracked {
        experiment: experiment.unwrap_or(&study.study.name).to_owned(),
        name: run.name,
        ended: run.ended,
        parameters,
        metrics: metrics.map(|Scalar { tag, step, value }| (allowed(&tag), step, value)).collect(),
    };
    Ok(tracker.log(&tracked)?)
}

/// What is told of a run.
struct Told {
    /// Arm and seed.
    name: String,
    /// When its result was written, in milliseconds since 1970.
    ended: u64,
    /// What was measured step by step.
    steps: Vec<Scalar>,
    /// What was measured epoch by epoch.
    epochs: Vec<Scalar>,
    /// Validation and test, after the last epoch.
    metrics: Vec<Scalar>,
}

impl Told {
    fn read(folder: &RunFolder) -> Result<Self> {
        let Some(result) = folder.result()? else {
            let problem = "the run has not ended; run the same train command again and it goes on";
            return Err(Error::Run { path: folder.path().to_owned(), problem: problem.to_owned() });
        };
        // When its last file but one was written: what is told follows from the run alone.
        let last = folder.users();
        let ended = fs_err::metadata(&last).and_then(|about| about.modified());
        let ended = ended.map_err(|source| tastemaker_core::Error::read(&last, source))?;
        let ended = ended.duration_since(UNIX_EPOCH).unwrap_or_default();
        let of_part = |part: &str, summary: &tastemaker_eval::Summary| -> Vec<Scalar> {
            let scalar = |value: &tastemaker_eval::Value| {
                Scalar::new(format!("{part}/{}", value.metric), 0, value.mean)
            };
            summary.metrics.iter().map(scalar).collect()
        };
        let metrics = [of_part("validation", &result.validation), of_part("test", &result.test)];
        let mut told = Self {
            name: format!("{} seed {}", result.arm, result.seed),
            ended: u64::try_from(ended.as_millis()).unwrap_or(u64::MAX),
            steps: Vec::new(),
            epochs: Vec::new(),
            metrics: metrics.concat(),
        };
        told.events(folder.told()?);
        Ok(told)
    }

    fn events(&mut self, events: Vec<Event>) {
        let mut stage = String::new();
        for event in events {
            match event {
                Event::Stage { stage: next } => stage = next,
                Event::Step { step, loss, gradient_norm, learning_rate, .. } => {
                    let all = [
                        ("loss", loss),
                        ("gradient-norm", gradient_norm),
                        ("learning-rate", learning_rate),
                    ];
                    let scalar =
                        |(name, value)| Scalar::new(format!("{stage}/step/{name}"), step, value);
                    self.steps.extend(all.map(scalar));
                }
                Event::Epoch { epoch, loss, losses, validation, .. } => {
                    let mut add = |name: &str, value| {
                        let tag = format!("{stage}/epoch/{name}");
                        self.epochs.push(Scalar::new(tag, epoch, value));
                    };
                    add("loss", loss);
                    for ObjectiveLoss { objective, loss } in losses {
                        add(&format!("loss of {objective}"), loss);
                    }
                    if let Some(validation) = validation {
                        add("validation", validation);
                    }
                }
                Event::Started { .. } | Event::Finished { .. } | Event::Spent(_) => {}
            }
        }
    }
}

/// The settings in `value`, each with its keys.
fn flatten(keys: &str, value: &toml::Value, all: &mut Vec<(String, String)>) {
    let below = |key: &str| if keys.is_empty() { key.to_owned() } else { format!("{keys}.{key}") };
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                flatten(&below(key), value, all);
            }
        }
        // The one arm of a run's study, and not metrics and texts, which are one setting.
        toml::Value::Array(array) if keys == "arm" => {
            for value in array {
                flatten(keys, value, all);
            }
        }
        toml::Value::String(text) => all.push((keys.to_owned(), text.clone())),
        value => all.push((keys.to_owned(), value.to_string())),
    }
}

/// A name with what MLflow does not take in names put otherwise.
fn allowed(name: &str) -> String {
    let name = name.replace('@', "_at_");
    let said = |c: char| c.is_alphanumeric() || "_-. :/".contains(c);
    name.chars().map(|c| if said(c) { c } else { '_' }).collect()
}
