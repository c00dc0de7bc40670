//! Pre-train, then train something new in a frozen model.

use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::{AnyAdapter, Lora};
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::parameters::Group;

use super::{Learns, Paradigm, Stage, TrainPlan, setting};

/// A pre-trained model that stays as it is, in which something new learns: an adapter, a head.
///
/// # References
/// "Fine-tune extra part" in Liu et al. 2023, *Pre-train, prompt and recommendation*. Where
/// authors place adapters differs; here the mask decides: nothing of the backbone's body learns.
/// With `embeddings`, adapters and other data before, it is the transfer of Yuan et al. 2020,
/// *`PeterRec`*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetuneExtra {
    /// What is new in the model.
    pub insert: Vec<AnyAdapter>,
    /// Whether the embeddings learn too, as they must where the items are others than those of
    /// pre-training.
    pub embeddings: bool,
}

impl Default for FinetuneExtra {
    fn default() -> Self {
        Self { insert: vec![AnyAdapter::Lora(Lora::default())], embeddings: false }
    }
}

impl Paradigm for FinetuneExtra {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        let has = |group| self.insert.iter().any(|adapter| adapter.as_dyn().group() == group);
        let groups = [(Group::Adapter, Learns::Adapters), (Group::Head, Learns::Head)];
        let learns = groups.into_iter().filter(|(group, _)| has(*group));
        let learns = learns.map(|(_, learns)| learns);
        let learns = learns.chain(self.embeddings.then_some(Learns::Embeddings)).collect();
        TrainPlan::adapting(vec![Stage::new("train", self.insert.clone(), learns)])
    }

    fn problem(&self) -> Option<crate::Error> {
        let expected = "one adapter or head or more: bottleneck, lora or projection";
        if self.insert.is_empty() {
            return Some(setting("insert", "[]", expected));
        }
        let prompt =
            self.insert.iter().find(|adapter| adapter.as_dyn().group() == Group::Prompt)?;
        Some(setting("insert", prompt.name(), expected))
    }
}
