//! How a model is trained.

use serde::{Deserialize, Serialize};

/// How a language model is trained; the same for every paradigm and objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Training {
    /// The most passes over the training part.
    pub epochs: usize,
    /// Sequences a step.
    pub batch_size: usize,
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
            batch_size: 256,
            learning_rate: 1e-3,
            warmup_steps: 100,
            decay: Decay::Constant,
            weight_decay: 0.0,
            gradient_clip: 5.0,
            validate_every: 1,
            patience: 5,
            validation_k: 10,
        }
    }
}
