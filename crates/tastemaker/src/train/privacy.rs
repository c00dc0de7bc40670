//! Differential privacy in training: the setting, and what was spent.

use serde::{Deserialize, Serialize};
use tastemaker_core::Error;

use super::accountant::epsilon;

/// Differentially private training (DP-SGD), of which the unit is a user.
///
/// # What it does
/// Each step takes every user by itself with probability q = `batch-size` / users. The gradient of a
/// taken user's mean loss over all its windows is scaled down to the norm `clip` over all parameters
/// that learn; to every number of the sum normal noise of deviation `noise` × `clip` is added, and the
/// sum, divided by `batch-size`, is what the optimiser sees. An epoch is 1 / q steps, rounded up.
/// Nothing is validated: the last epoch is kept, and `gradient-clip` is not applied on top.
///
/// # What it bounds
/// With everything else alike, no event about the weights becomes more than e^ε times as likely by a
/// user's having been learnt from, or not, but for δ in all.
/// It is about the weights alone: the losses in `events.jsonl` and checkpoints are of people, and so
/// are the number of users and which items the catalog has, which are taken as known.
/// It is about one training: another arm, seed, trial of a search or look at the test adds to it.
/// A seed that is named makes noise that is no secret: whoever releases weights must use a seed that
/// nobody knows. Noise is drawn in floating point, whose last digits can tell of the sum (Mironov 2012).
///
/// # References
/// Abadi et al. 2016, *Deep learning with differential privacy*; `McMahan` et al. 2018, whose unit is a
/// user.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Privacy {
    /// The deviation of the noise, relative to `clip`; 0 adds none, and bounds nothing.
    pub noise: f64,
    /// The largest norm of a user's gradient.
    pub clip: f64,
    /// The δ for which ε is told, below 1 / users.
    pub delta: f64,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { noise: 1.0, clip: 1.0, delta: 1e-5 }
    }
}

/// How much of users' privacy training has spent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spent {
    /// The ε; `None` where there is no bound.
    pub epsilon: Option<f64>,
    /// The δ for which it holds.
    pub delta: f64,
    /// The deviation of the noise, relative to the largest norm of a user's gradient.
    pub noise: f64,
    /// The probability with which a step takes a user.
    pub rate: f64,
    /// Steps.
    pub steps: u64,
}

impl Privacy {
    /// What `steps` spend, each of which takes a user with probability `rate`.
    pub fn spent(&self, rate: f64, steps: u64) -> Spent {
        let Self { noise, delta, .. } = *self;
        Spent { epsilon: epsilon(noise, rate, steps, delta), delta, noise, rate, steps }
    }

    /// Whether every number can be used; all that cannot, each with what was expected.
    pub(super) fn problems(&self) -> Vec<Error> {
        let Self { noise, clip, delta } = *self;
        let checks = [
            ("privacy.noise", noise, noise.is_finite() && noise >= 0.0, "0 or a number above it"),
            ("privacy.clip", clip, clip.is_finite() && clip > 0.0, "a number above 0"),
            ("privacy.delta", delta, delta > 0.0 && delta < 1.0, "a number between 0 and 1"),
        ];
        let wrong = checks.into_iter().filter(|(_, _, right, _)| !right);
        wrong.map(|(name, found, _, expected)| Error::setting(name, found, expected)).collect()
    }

    /// Why it says nothing about so many users, if it does not.
    pub(crate) fn unsuited(&self, users: usize) -> Option<Error> {
        let most = 1.0 / users.max(1) as f64;
        let expected = format!(
            "less than {most:.1e}, which is 1 / {users} users: with more, one of them may be given \
             away whole"
        );
        (self.delta >= most).then(|| Error::setting("privacy.delta", self.delta, expected))
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epsilon, delta, noise, rate, steps } = self;
        match epsilon {
            Some(epsilon) => write!(f, "ε = {epsilon:.3} with δ = {delta:e}")?,
            None => write!(f, "no bound on ε")?,
        }
        write!(f, " for each user: {steps} steps at rate {rate:.4}, noise {noise}")
    }
}
