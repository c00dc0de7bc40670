//! Pre-train, then train a prompt.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::{AnyAdapter, SoftPrompt};
use tastemaker_nn::backbones::Shape;

use super::{Learns, Paradigm, Prompt, Stage, TrainPlan};

/// A pre-trained model that stays as it is, around whose sequences a soft prompt learns, perhaps
/// beside a hard one.
///
/// # References
/// "Fixed-PTM prompt tuning" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its
/// system in the tutorial is `UniCRS` (Wang et al. 2022), over items PPR (Wu et al. 2022),
/// whose prompt is a `personal-prompt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PromptTuning {
    /// The prompt, of which something learns: `soft-prompt`, `prefix`, `personal-prompt`.
    pub prompt: Prompt,
}

impl Default for PromptTuning {
    fn default() -> Self {
        Self { prompt: AnyAdapter::SoftPrompt(SoftPrompt::default()).into() }
    }
}

impl Paradigm for PromptTuning {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        let insert = self.prompt.pieces.clone();
        TrainPlan::adapting(vec![Stage::new("train", insert, vec![Learns::Prompt])])
    }

    fn problem(&self) -> Option<crate::Error> {
        self.prompt.problem(true)
    }
}
