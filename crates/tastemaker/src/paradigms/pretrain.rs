//! Train once, use as is.

use serde::{Deserialize, Serialize};
use tastemaker_nn::backbones::Shape;

use super::{Learns, Paradigm, Stage, TrainPlan};

/// Everything learns from the task itself, once, and is used as it is.
///
/// # References
/// The first class of Liu et al. 2023, *Pre-train, prompt and recommendation*; its system in the
/// tutorial is PLM-Rec (Geng et al. 2022), its best known over items `BERT4Rec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pretrain {}

impl Paradigm for Pretrain {
    fn plan(&self, _shape: Shape) -> TrainPlan {
        TrainPlan { stages: vec![Stage::new("train", vec![], vec![Learns::All])] }
    }
}
