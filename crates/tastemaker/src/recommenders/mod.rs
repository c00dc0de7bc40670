//! What can recommend: controls and language models.

use std::path::Path;

use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, Recommender, SeedTree, registry};

use crate::Result;
use crate::train::Observer;

mod language_model;

pub use language_model::{CHECKPOINT_FILE, LanguageModel, MODEL_FILE};

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

fn validate(recommender: &dyn Recommender, context: &FitContext<'_>, k: usize) -> Result<f64> {
    use tastemaker_core::splits::Part;
    let cases = context.split.cases(context.data, Part::Validation);
    let ties = tastemaker_core::TieOrder::new(context.data.n_items(), &context.seeds.child("ties"));
    let options = tastemaker_core::RankOptions { n: k, allow_seen: false, ties: &ties };
    let mut total = 0.0;
    for block in cases.chunks(1024) {
        let queries: Vec<_> = block
            .iter()
            .map(|c| tastemaker_core::RecQuery {
                user: Some(c.user),
                history: c.history,
                candidates: None,
            })
            .collect();
        for (list, case) in recommender.recommend(&queries, &options)?.iter().zip(block) {
            if let Some(rank) = list.items.iter().position(|i| *i == case.targets[0]) {
                total += 1.0 / ((rank + 2) as f64).log2();
            }
        }
    }
    Ok(total / cases.len() as f64)
}
