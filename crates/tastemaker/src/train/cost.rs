//! What training takes of a machine.

use serde::{Deserialize, Serialize};

/// What a part of a run took. It depends on the machine and on what else ran there, so it stands
/// apart from results, which do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cost {
    /// Seconds by the clock.
    pub seconds: f64,
    /// Seconds of all processors together.
    pub cpu_seconds: f64,
    /// The most memory at once, in bytes, the program and the data included; 0 where the system
    /// does not say.
    pub peak_memory: u64,
}

/// Measures costs. Only the program knows the clock, so it gives the meter.
pub trait Meter {
    /// Begins anew.
    fn reset(&self);

    /// What it took since.
    fn read(&self) -> Cost;
}

/// What a stage of training took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StageCost {
    /// The stage's name; `fit` of a recommender that has none.
    pub stage: String,
    /// How many numbers learnt.
    pub trained_parameters: usize,
    /// What it took; of a stage that was interrupted, its last part.
    pub cost: Cost,
}
