//! Pre-train, then train the model to answer a fixed prompt.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::AnyAdapter;
use tastemaker_nn::adapters::SpecialTokens;
use tastemaker_nn::backbones::Shape;

use super::{Learns, Paradigm, Stage, TrainPlan};

/// A pre-trained model that learns again to answer a prompt that does not learn.
///
/// # References
/// "Fixed-prompt PTM tuning" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its
/// system in the tutorial is `UniMIND` (Deng et al. 2023).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FixedPromptTuning {
    /// The prompt.
    pub prompt: SpecialTokens,
}

impl Paradigm for FixedPromptTuning {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        let insert = vec![AnyAdapter::SpecialTokens(self.prompt.clone())];
        let learns = vec![Learns::Embeddings, Learns::Body];
        TrainPlan::adapting(vec![Stage::new("train", insert, learns)])
    }
}
