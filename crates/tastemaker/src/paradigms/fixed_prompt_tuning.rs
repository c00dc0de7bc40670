//! Pre-train, then train the model to answer a fixed prompt.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::{AnyAdapter, SpecialTokens};
use tastemaker_nn::backbones::Shape;

use super::prompt::named_tokens;
use super::{Learns, Paradigm, Prompt, Stage, TrainPlan};

/// A pre-trained model that learns again to answer a prompt that does not learn.
///
/// # References
/// "Fixed-prompt PTM tuning" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its
/// system in the tutorial is `UniMIND` (Deng et al. 2023).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FixedPromptTuning {
    /// The prompt, of which nothing learns: named tokens, before or after the history.
    #[serde(with = "named_tokens")]
    pub prompt: Prompt,
}

impl Default for FixedPromptTuning {
    fn default() -> Self {
        Self { prompt: AnyAdapter::SpecialTokens(SpecialTokens::default()).into() }
    }
}

impl Paradigm for FixedPromptTuning {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        let insert = self.prompt.pieces.clone();
        let learns = vec![Learns::Embeddings, Learns::Body];
        TrainPlan::adapting(vec![Stage::new("train", insert, learns)])
    }

    fn problem(&self) -> Option<crate::Error> {
        self.prompt.problem(false)
    }
}
