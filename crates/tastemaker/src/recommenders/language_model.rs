//! A language model over item sequences.

use serde::{Deserialize, Serialize};
use tastemaker_core::Recommender;
use tastemaker_nn::backbones::AnyBackbone;

use super::{FitContext, FitRecommender};
use crate::Result;
use crate::objectives::AnyObjective;
use crate::train::Training;

/// A backbone trained with an objective to foretell items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LanguageModel {
    /// The architecture.
    pub backbone: AnyBackbone,
    /// What it learns.
    pub objective: AnyObjective,
    /// How it is trained.
    pub training: Training,
}

impl Default for LanguageModel {
    fn default() -> Self {
        Self {
            backbone: AnyBackbone::Decoder(tastemaker_nn::backbones::Decoder::default()),
            objective: AnyObjective::Softmax(crate::objectives::Softmax::default()),
            training: Training::default(),
        }
    }
}

impl FitRecommender for LanguageModel {
    fn fit(&self, _context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        unimplemented!("being written")
    }
}
