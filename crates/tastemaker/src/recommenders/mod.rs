//! What can recommend: controls and language models.

use std::path::Path;

use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, Recommender, SeedTree, registry};

use crate::Result;
use crate::train::Observer;

mod language_model;

pub use language_model::LanguageModel;

/// What a recommender learns from. Nothing later than the training part may be looked at, but by
/// validation, which may choose.
pub struct FitContext<'a> {
    /// The data set.
    pub data: &'a Dataset,
    /// Which interactions are learnt from.
    pub split: &'a SplitSets,
    /// The run's seeds.
    pub seeds: SeedTree,
    /// Where checkpoints are kept, so that an interrupted fit goes on; `None` keeps none.
    pub checkpoints: Option<&'a Path>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
}

/// A recommender's settings, which learn a recommender from data.
pub trait FitRecommender {
    /// Learns from the training part.
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>>;
}

registry! {
    /// Every recommender a study can name.
    pub enum AnyRecommender: FitRecommender {
        /// A language model over item sequences.
        "language-model" => LanguageModel(LanguageModel),
    }
}
