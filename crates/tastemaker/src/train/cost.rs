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
    /// The memory when it began, in bytes: program, data and what was not given back of what ran
    /// before in the same process. 0 where the system does not say.
    #[serde(default)]
    pub start_memory: u64,
}

impl Cost {
    /// What two parts took, one after the other.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            cpu_seconds: self.cpu_seconds + next.cpu_seconds,
            peak_memory: self.peak_memory.max(next.peak_memory),
            start_memory: self.start_memory,
        }
    }
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
    /// Passes over what is learnt from, those after the best one too; `None` of a recommender that
    /// makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// What it took; of a stage that was interrupted, all its parts, each up to its last
    /// checkpoint.
    pub cost: Cost,
}
