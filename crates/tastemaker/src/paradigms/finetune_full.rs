//! Pre-train, then train everything again.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::AnyAdapter;
use tastemaker_nn::backbones::Shape;

use super::{Learns, Paradigm, Stage, TrainPlan};

/// A pre-trained model of which everything learns again from the recommender's own task.
///
/// # References
/// "Fine-tune holistic" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its system in
/// the tutorial is `SpeedyFeed` (Xiao et al. 2022).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetuneFull {
    /// What is new in the model, for example a head: `[{ projection = {} }]`.
    pub insert: Vec<AnyAdapter>,
}

impl Paradigm for FinetuneFull {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        TrainPlan::adapting(vec![Stage::new("train", self.insert.clone(), vec![Learns::All])])
    }
}
