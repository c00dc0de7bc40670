//! Pre-train, then train a part again.

use serde::{Deserialize, Serialize};
use tastemaker_nn::backbones::Shape;

use super::{Learns, Paradigm, Stage, TrainPlan, setting};

/// A pre-trained model of which a part learns again from the recommender's own task.
///
/// # References
/// "Fine-tune partial" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its system in
/// the tutorial is `UniSRec` (Hou et al. 2022).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetunePartial {
    /// The parts that learn.
    pub learns: Vec<Learns>,
}

impl Default for FinetunePartial {
    fn default() -> Self {
        Self { learns: vec![Learns::TopLayers(1)] }
    }
}

impl Paradigm for FinetunePartial {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        TrainPlan::adapting(vec![Stage::new("train", vec![], self.learns.clone())])
    }

    fn problem(&self) -> Option<crate::Error> {
        let expected = "a part of the backbone or more; to train nothing is paradigm prompt-free";
        self.learns.is_empty().then(|| setting("learns", "[]", expected))
    }
}
