//! How much an objective counts while training goes on.

use serde::{Deserialize, Serialize};

/// How much an objective counts beside others, and when: a curriculum is a schedule.
///
/// It counts `weight` from the share `from` of the epochs on until the share `until`, and rises to
/// it in a straight line over the share `ramp`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Schedule {
    /// How much it counts.
    pub weight: f64,
    /// The share of the epochs after which it begins.
    pub from: f64,
    /// The share of the epochs after which it ends.
    pub until: f64,
    /// The share of the epochs over which it rises.
    pub ramp: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { weight: 1.0, from: 0.0, until: 1.0, ramp: 0.0 }
    }
}

impl Schedule {
    /// How much it counts in epoch `epoch` of `epochs`, from 0.
    pub fn at(&self, epoch: usize, epochs: usize) -> f64 {
        // In the middle of the epoch.
        let done = (epoch as f64 + 0.5) / epochs.max(1) as f64;
        if done < self.from || done > self.until {
            return 0.0;
        }
        if self.ramp > 0.0 {
            self.weight * ((done - self.from) / self.ramp).min(1.0)
        } else {
            self.weight
        }
    }

    /// Whether it counts in any of `epochs`.
    pub fn ever_counts(&self, epochs: usize) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let first = (self.from * epochs as f64) as usize;
        // It rises from 0 where it begins, so the epoch after that counts more.
        (first..epochs.min(first.saturating_add(3))).any(|epoch| self.at(epoch, epochs) > 0.0)
    }

    /// A number that cannot be used.
    pub fn problem(&self) -> Option<tastemaker_core::Error> {
        let setting = |name: &str, found: f64, expected: &str| tastemaker_core::Error::Setting {
            name: name.to_owned(),
            found: found.to_string(),
            expected: expected.to_owned(),
        };
        if !(self.weight.is_finite() && self.weight >= 0.0) {
            return Some(setting("weight", self.weight, "0 or a number above it"));
        }
        for (name, share) in [("from", self.from), ("until", self.until), ("ramp", self.ramp)] {
            if !(0.0..=1.0).contains(&share) {
                return Some(setting(name, share, "a share of the epochs, from 0 to 1"));
            }
        }
        (self.from >= self.until).then(|| setting("until", self.until, "a share above `from`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_begins_rises_and_ends() {
        let schedule = Schedule { weight: 2.0, from: 0.2, until: 0.8, ramp: 0.4 };
        let at = |epoch| schedule.at(epoch, 10);
        for (epoch, expected) in [(0, 0.0), (1, 0.0), (2, 0.25), (5, 1.75), (6, 2.0), (8, 0.0)] {
            assert!((at(epoch) - expected).abs() < 1e-12, "{epoch}: {}", at(epoch));
        }
        assert!((Schedule::default().at(0, 1) - 1.0).abs() < 1e-12);
        assert!(schedule.ever_counts(10));
        // Nothing lies between the middles of the first and the second of two epochs.
        assert!(!Schedule { from: 0.3, until: 0.7, ..schedule }.ever_counts(2));
        assert!(!Schedule { weight: 0.0, ..schedule }.ever_counts(10));
        assert!(!schedule.ever_counts(0));
    }
}
