//! Where an interrupted training goes on.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tastemaker_core::artifact::write_atomically;
use tastemaker_nn::adamw::{AdamW, Moments};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::parameters::Parameters;

use super::Cost;
use crate::{Error, Result};

/// The version of the file; raised when its meaning changes.
const VERSION: u32 = 1;

/// How far training has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Epochs done.
    pub(super) epochs: usize,
    /// Optimiser steps taken.
    pub(super) steps: u64,
    /// The best validation so far.
    pub(super) best: Option<Best>,
    /// Validations since the best.
    pub(super) since_best: usize,
    /// Nothing is left to do.
    pub(super) finished: bool,
}

/// The epoch whose weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) epoch: usize,
    /// Its validation, if there was one to choose by.
    pub(super) value: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    version: u32,
    /// What is trained, on what, with which seed.
    run: String,
    progress: Progress,
}

/// The weights of the best epoch, by parameter.
pub(super) type Weights = BTreeMap<String, Vec<f32>>;

/// Writes everything that the next epoch depends on.
pub(super) fn write(
    path: &Path,
    run: &str,
    progress: &Progress,
    (parameters, optimiser, best): (&Parameters, &AdamW, &Weights),
) -> Result<()> {
    let mut tensors = BTreeMap::new();
    for (name, variable) in parameters.iter() {
        let dimensions = variable.dims().to_vec();
        tensors.insert(format!("weight/{name}"), (dimensions.clone(), parameters.values(name)?));
        if let Some(Moments { first, second }) = optimiser.moments().get(name) {
            tensors.insert(format!("first/{name}"), (dimensions.clone(), first.clone()));
            tensors.insert(format!("second/{name}"), (dimensions.clone(), second.clone()));
        }
        if let Some(best) = best.get(name) {
            tensors.insert(format!("best/{name}"), (dimensions, best.clone()));
        }
    }
    let about = About { version: VERSION, run: run.to_owned(), progress: progress.clone() };
    Ok(Checkpoint { about, tensors }.write(path)?)
}

/// The file beside the checkpoint at `path` with what training took until then: what depends on
/// the clock does not stand in the checkpoint, whose bytes are the same in every run.
fn cost_file(path: &Path) -> PathBuf {
    path.with_extension("costs.json")
}

/// Writes what training took up to the checkpoint at `path`.
pub(super) fn write_cost(path: &Path, cost: Cost) -> Result<()> {
    let text = serde_json::to_string(&cost).map_err(|error| Error::Serialise(error.to_string()))?;
    Ok(write_atomically(&cost_file(path), |out| writeln!(out, "{text}"))?)
}

/// What training took up to the checkpoint at `path`, if that was measured.
pub(super) fn read_cost(path: &Path) -> Option<Cost> {
    serde_json::from_str(&fs_err::read_to_string(cost_file(path)).ok()?).ok()
}

/// Removes the checkpoint at `path` and what stands beside it, as far as they are there.
pub fn remove(path: &Path) -> Result<()> {
    for path in [path, &cost_file(path)] {
        if path.exists() {
            let failed = |source| tastemaker_core::Error::Write { path: path.to_owned(), source };
            fs_err::remove_file(path).map_err(failed)?;
        }
    }
    Ok(())
}

/// Puts weights and moments back, if there is a checkpoint of this run at `path`.
pub(super) fn read(
    path: &Path,
    run: &str,
    parameters: &Parameters,
    optimiser: &mut AdamW,
) -> Result<Option<(Progress, Weights)>> {
    if !path.exists() {
        return Ok(None);
    }
    let checkpoint = Checkpoint::<About>::read(path)?;
    if checkpoint.about.version != VERSION {
        let problem = format!(
            "this is version {} of a checkpoint, expected {VERSION}",
            checkpoint.about.version
        );
        return Err(tastemaker_nn::Error::Checkpoint { path: path.to_owned(), problem }.into());
    }
    if checkpoint.about.run != run {
        return Err(Error::OtherRun { path: path.to_owned() });
    }
    parameters
        .set(|name, dimensions| checkpoint.tensor(path, &format!("weight/{name}"), dimensions))?;
    let (mut moments, mut best) = (BTreeMap::new(), BTreeMap::new());
    for (name, variable) in parameters.iter() {
        let get = |part: &str| checkpoint.tensor(path, &format!("{part}/{name}"), variable.dims());
        if parameters.learns(name) {
            let both = Moments { first: get("first")?.to_vec(), second: get("second")?.to_vec() };
            moments.insert(name.to_owned(), both);
        }
        if checkpoint.about.progress.best.is_some() {
            best.insert(name.to_owned(), get("best")?.to_vec());
        }
    }
    let progress = checkpoint.about.progress;
    optimiser.resume(progress.steps, moments);
    Ok(Some((progress, best)))
}
