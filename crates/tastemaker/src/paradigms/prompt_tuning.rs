//! Pre-train, then train a prompt.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::{AnyAdapter, SoftPrompt};
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::parameters::Group;

use super::{Learns, Paradigm, Stage, TrainPlan, setting};

/// A pre-trained model that stays as it is, before which a soft prompt learns.
///
/// # References
/// "Fixed-PTM prompt tuning" in Liu et al. 2023, *Pre-train, prompt and recommendation*; its
/// system in the tutorial is `UniCRS` (Wang et al. 2022), over items PPR (Wu et al. 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PromptTuning {
    /// The prompt: `soft-prompt` or `prefix`.
    pub prompt: AnyAdapter,
}

impl Default for PromptTuning {
    fn default() -> Self {
        Self { prompt: AnyAdapter::SoftPrompt(SoftPrompt::default()) }
    }
}

impl Paradigm for PromptTuning {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        let insert = vec![self.prompt.clone()];
        TrainPlan::adapting(vec![Stage::new("train", insert, vec![Learns::Prompt])])
    }

    fn problem(&self) -> Option<crate::Error> {
        not_soft(&self.prompt)
    }
}

/// Why an adapter is no prompt that can learn.
pub(super) fn not_soft(prompt: &AnyAdapter) -> Option<crate::Error> {
    let soft =
        prompt.as_dyn().group() == Group::Prompt && !matches!(prompt, AnyAdapter::SpecialTokens(_));
    let expected = "a prompt that can learn: soft-prompt or prefix";
    (!soft).then(|| setting("prompt", prompt.name(), expected))
}
