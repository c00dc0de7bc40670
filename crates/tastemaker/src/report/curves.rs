//! How arms learnt, from what their runs have told.

use serde::{Deserialize, Serialize};

use crate::study::{RunFolder, RunResult};
use crate::{Error, Result};

/// How a run learnt in one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Curve {
    /// The run's seed.
    pub seed: u64,
    /// The stage, where there are several.
    pub stage: Option<String>,
    /// One entry an epoch.
    pub points: Vec<Point>,
}

/// An epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Point {
    /// Its number, from 0.
    pub epoch: usize,
    /// Its mean loss.
    pub loss: f64,
    /// The metric over the validation targets, where it was taken.
    pub validation: Option<f64>,
}

/// As much of a line of `events.jsonl` as makes a curve.
#[derive(Deserialize)]
struct Line {
    event: String,
    stage: Option<String>,
    epoch: Option<usize>,
    loss: Option<f64>,
    validation: Option<f64>,
}

/// The curves of an arm's runs.
pub(super) fn of(runs: &[(RunResult, RunFolder)]) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = Vec::new();
    for (result, folder) in runs {
        let path = folder.events();
        if !path.exists() {
            continue;
        }
        let text = fs_err::read_to_string(&path)
            .map_err(|source| tastemaker_core::Error::read(&path, source))?;
        let mut stage = None;
        // Steps are nearly all lines, and are not needed.
        let lines = text.lines().enumerate();
        for (i, line) in lines.filter(|(_, line)| !line.starts_with(r#"{"event":"step""#)) {
            let line: Line = serde_json::from_str(line).map_err(|error| Error::Run {
                path: path.clone(),
                problem: format!("line {}: this is no event: {error}", i + 1),
            })?;
            match (&line.event[..], line.epoch, line.loss) {
                ("stage", ..) => stage = line.stage,
                ("started", ..) => {
                    let stage = stage.clone();
                    curves.push(Curve { seed: result.seed, stage, points: vec![] });
                }
                ("epoch", Some(epoch), Some(loss)) => {
                    if let Some(curve) = curves.last_mut() {
                        let validation = line.validation;
                        curve.points.push(Point { epoch, loss, validation });
                    }
                }
                _ => {}
            }
        }
    }
    curves.retain(|curve| !curve.points.is_empty());
    Ok(curves)
}
