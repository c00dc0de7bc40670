//! Pre-train, then train a prompt and the model.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::{AnyAdapter, SoftPrompt};
use tastemaker_nn::backbones::Shape;

use super::{Learns, Paradigm, Prompt, Stage, TrainPlan};

/// A pre-trained model that learns again together with a soft prompt.
///
/// # References
/// "Prompt and PTM tuning" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its system
/// in the tutorial is PRL (Xin et al. 2022); first the prompt, then both is PEPLER (Li et al.
/// 2023); hard and soft prompts together is the hybrid of `Prompt4NR` (Zhang and Wang 2023).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PromptAndModelTuning {
    /// The prompt, of which something learns: `soft-prompt`, `prefix`, `personal-prompt`.
    pub prompt: Prompt,
    /// Whether the prompt learns alone before both learn together.
    pub staged: bool,
}

impl Default for PromptAndModelTuning {
    fn default() -> Self {
        Self { prompt: AnyAdapter::SoftPrompt(SoftPrompt::default()).into(), staged: true }
    }
}

impl Paradigm for PromptAndModelTuning {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        let insert = self.prompt.pieces.clone();
        let stages = if self.staged {
            let prompt = Stage::new("prompt", insert, vec![Learns::Prompt]);
            vec![prompt, Stage::new("train", vec![], vec![Learns::All])]
        } else {
            vec![Stage::new("train", insert, vec![Learns::All])]
        };
        TrainPlan::adapting(stages)
    }

    fn problem(&self) -> Option<crate::Error> {
        self.prompt.problem(true)
    }
}
