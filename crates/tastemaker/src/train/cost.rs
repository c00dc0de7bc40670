//! What training takes of a machine.

use serde::{Deserialize, Serialize};

use super::Spent;

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
    /// Floating-point operations of the matrix products, those of validation too; what a library
    /// multiplies is not counted.
    #[serde(default)]
    pub operations: u64,
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
            operations: self.operations + next.operations,
        }
    }

    /// The energy that it took, in watt-hours, by a model: [`WATTS_A_CORE`] for each second of a
    /// processor and [`WATTS_A_GIBIBYTE`] for the most memory at once, all the time. Nothing is measured.
    pub fn watt_hours(&self) -> f64 {
        let memory = self.peak_memory as f64 / f64::from(1 << 30) * WATTS_A_GIBIBYTE;
        (self.cpu_seconds * WATTS_A_CORE + self.seconds * memory) / 3600.0
    }
}

/// Watts of a busy core: a server processor's rated power over its cores, such as 280 W over 28.
pub const WATTS_A_CORE: f64 = 10.0;

/// Watts of a GiB of memory: 3 W for 8 GB, as in `CodeCarbon`.
pub const WATTS_A_GIBIBYTE: f64 = 0.375;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_two_cores_and_eight_gibibytes_takes_23_watt_hours() {
        let cost =
            Cost { seconds: 3600.0, cpu_seconds: 7200.0, peak_memory: 8 << 30, ..Cost::default() };
        assert!((cost.watt_hours() - 23.0).abs() < 1e-12, "{}", cost.watt_hours());
    }
}

/// Measures costs. Only the program knows the clock, so it gives the meter.
pub trait Meter: Sync {
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
    /// What it spent of users' privacy, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}
