//! How a model is trained.

use serde::{Deserialize, Serialize};
use tastemaker_nn::Device;
use tastemaker_nn::fused::Precision;

use super::Privacy;

/// How a language model is trained; the same for every paradigm and objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Training {
    /// The most passes over the training part.
    pub epochs: usize,
    /// Sequences a step; with `counterfactual` as many again, in which other values are told.
    pub batch_size: usize,
    /// Tokens a step, for which as many sequences are taken as fit, at least one; it then replaces
    /// `batch-size`. 0 leaves it to `batch-size`.
    pub batch_tokens: usize,
    /// The attribute of users each of whose values is met equally often in an epoch, which stays as
    /// long: sequences of users with rarer values are met again, others not at all. Those of users
    /// of whom no value is known are met once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// Attributes of users whose values are exchanged: each sequence is also learnt with another
    /// value, drawn for its user, in what a personal prompt is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counterfactual: Vec<String>,
    /// Parts into which a step's sequences are divided; their gradients are added. More parts need
    /// less memory and learn the same, but for objectives that compare sequences of a step.
    pub accumulate: usize,
    /// Whether the backward pass makes the activations again instead of keeping them: less memory
    /// for about a third more time.
    pub recompute: bool,
    /// What the factors of matrix products are rounded to, in training and afterwards.
    pub precision: Precision,
    /// Where the model learns.
    pub device: Device,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// How the learning rate falls after the warm-up.
    pub decay: Decay,
    /// Decoupled weight decay (AdamW) of matrices; biases, norms and embeddings have none.
    pub weight_decay: f64,
    /// The largest norm of the gradient; 0 clips nothing.
    pub gradient_clip: f64,
    /// Epochs between validations.
    pub validate_every: usize,
    /// Validations without a better value after which training ends.
    pub patience: usize,
    /// NDCG at this cut-off, over the validation targets, chooses the epoch.
    pub validation_k: usize,
    /// Bounds what the weights can give away of any user; `batch-size` is then in users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// In a straight line to 0 at the last epoch.
    Linear,
    /// Along half a cosine to 0 at the last epoch.
    Cosine,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 128,
            batch_tokens: 0,
            balance: None,
            counterfactual: vec![],
            accumulate: 1,
            recompute: false,
            precision: Precision::F32,
            device: Device::Cpu,
            learning_rate: 2e-3,
            warmup_steps: 50,
            decay: Decay::Constant,
            weight_decay: 0.0,
            gradient_clip: 5.0,
            validate_every: 1,
            patience: 3,
            validation_k: 10,
            privacy: None,
        }
    }
}

impl Training {
    /// The learning rate of step `step` of at most `steps`, both from 0.
    pub fn learning_rate_at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let left = steps.saturating_sub(self.warmup_steps).max(1);
        let done = ((step - self.warmup_steps) as f64 / left as f64).min(1.0);
        self.learning_rate
            * match self.decay {
                Decay::Constant => 1.0,
                Decay::Linear => 1.0 - done,
                Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            }
    }

    /// Whether every number can be used; all that cannot, each with what was expected.
    pub fn problems(&self) -> Vec<tastemaker_core::Error> {
        let counts = [
            ("epochs", self.epochs),
            ("batch-size", self.batch_size),
            ("accumulate", self.accumulate),
            ("validate-every", self.validate_every),
            ("patience", self.patience),
            ("validation-k", self.validation_k),
        ];
        let problem = |name: &str, found: String, expected: &str| tastemaker_core::Error::Setting {
            name: name.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        let counts = counts.into_iter().filter(|(_, count)| *count == 0);
        let mut problems: Vec<_> =
            counts.map(|(name, count)| problem(name, count.to_string(), "1 or more")).collect();
        let rate = self.learning_rate;
        if !(rate.is_finite() && rate > 0.0) {
            problems.push(problem("learning-rate", rate.to_string(), "a number above 0"));
        }
        for (name, value) in
            [("weight-decay", self.weight_decay), ("gradient-clip", self.gradient_clip)]
        {
            if !(value.is_finite() && value >= 0.0) {
                problems.push(problem(name, value.to_string(), "0 or a number above it"));
            }
        }
        if let Some(privacy) = &self.privacy {
            problems.extend(privacy.problems());
            if self.batch_tokens > 0 {
                let expected = "0 with privacy, whose steps take users";
                problems.push(problem("batch-tokens", self.batch_tokens.to_string(), expected));
            }
            if let Some(balance) = &self.balance {
                let expected = "absent with privacy, whose steps take every user by the same lot";
                problems.push(problem("balance", balance.clone(), expected));
            }
        }
        if self.device == Device::Cuda {
            let bf16 = self.precision == Precision::Bf16;
            for (name, found) in [("precision", bf16), ("recompute", self.recompute)] {
                if found {
                    problems.push(problem(name, "set".to_owned(), "absent with device = \"cuda\""));
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let training = Training { learning_rate: 1.0, warmup_steps: 10, ..Training::default() };
        let linear = Training { decay: Decay::Linear, ..training.clone() };
        let cosine = Training { decay: Decay::Cosine, ..training.clone() };
        for (step, rate) in [(0, 0.1), (9, 1.0), (10, 1.0)] {
            assert!((linear.learning_rate_at(step, 110) - rate).abs() < 1e-12);
        }
        assert!((linear.learning_rate_at(60, 110) - 0.5).abs() < 1e-12);
        assert!((cosine.learning_rate_at(60, 110) - 0.5).abs() < 1e-12);
        assert!((training.learning_rate_at(109, 110) - 1.0).abs() < 1e-12);
    }
}
