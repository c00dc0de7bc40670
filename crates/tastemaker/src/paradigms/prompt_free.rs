//! Pre-train, then ask.

use serde::{Deserialize, Serialize};
use tastemaker_nn::backbones::Shape;

use super::{ItemPrompt, Paradigm, TrainPlan};

/// A pre-trained model that is asked through a hard prompt; nothing learns again.
///
/// # References
/// "Tuning-free prompting" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its
/// prompts for large language models are those of `LLMRank` (Hou et al. 2024).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PromptFree {
    /// What is made of the history.
    pub prompt: ItemPrompt,
}

impl Paradigm for PromptFree {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        TrainPlan::adapting(vec![])
    }

    fn item_prompt(&self) -> ItemPrompt {
        self.prompt
    }
}
