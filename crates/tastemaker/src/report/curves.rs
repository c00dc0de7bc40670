//! How arms learnt, from what their runs have told.

use serde::Serialize;

use crate::Result;
use crate::study::{RunFolder, RunResult};
use crate::train::Event;

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

/// The curves of an arm's runs.
pub(super) fn of(runs: &[(RunResult, RunFolder)]) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = Vec::new();
    for (result, folder) in runs {
        let mut stage = None;
        for event in folder.told()? {
            match event {
                Event::Stage { stage: next } => stage = Some(next),
                Event::Started { .. } => {
                    let stage = stage.clone();
                    curves.push(Curve { seed: result.seed, stage, points: vec![] });
                }
                Event::Epoch { epoch, loss, validation, .. } => {
                    if let Some(curve) = curves.last_mut() {
                        curve.points.push(Point { epoch, loss, validation });
                    }
                }
                Event::Step { .. } | Event::Finished { .. } | Event::Spent(_) => {}
            }
        }
    }
    curves.retain(|curve| !curve.points.is_empty());
    Ok(curves)
}
