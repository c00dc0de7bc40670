//! What a batch is asked to learn.

use serde::{Deserialize, Serialize};
use tastemaker_core::registry;

/// Turns hidden states and targets into a loss.
pub trait Objective {
    /// Whether the objective hides items and needs a bidirectional backbone.
    fn masks_items(&self) -> bool;
}

registry! {
    /// Every objective a study can name.
    pub enum AnyObjective: Objective {
        /// Next item, binary cross-entropy against sampled negatives (SASRec).
        "bce" => Bce(Bce),
        /// Next item, binary cross-entropy corrected for sampling (gSASRec).
        "gbce" => Gbce(Gbce),
        /// Hidden items from both sides, softmax over the catalog (BERT4Rec).
        "masked-items" => MaskedItems(MaskedItems),
        /// Next item, softmax over the target and sampled negatives.
        "sampled-softmax" => SampledSoftmax(SampledSoftmax),
        /// Next item, softmax cross-entropy over the whole catalog.
        "softmax" => Softmax(Softmax),
    }
}

/// placeholder
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Softmax {}
/// placeholder
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bce {
    /// Negatives a position, drawn uniformly.
    pub negatives: usize,
}
/// placeholder
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gbce {
    /// Negatives a position, drawn uniformly.
    pub negatives: usize,
    /// Calibration from 0 (plain BCE) to 1 (fully corrected).
    pub calibration: f64,
}
/// placeholder
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SampledSoftmax {
    /// Negatives a position, drawn uniformly.
    pub negatives: usize,
}
/// placeholder
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MaskedItems {
    /// The share of positions that are hidden.
    pub probability: f64,
}
impl Default for Bce {
    fn default() -> Self {
        Self { negatives: 1 }
    }
}
impl Default for Gbce {
    fn default() -> Self {
        Self { negatives: 256, calibration: 0.75 }
    }
}
impl Default for SampledSoftmax {
    fn default() -> Self {
        Self { negatives: 256 }
    }
}
impl Default for MaskedItems {
    fn default() -> Self {
        Self { probability: 0.2 }
    }
}
impl Objective for Softmax {
    fn masks_items(&self) -> bool {
        false
    }
}
impl Objective for Bce {
    fn masks_items(&self) -> bool {
        false
    }
}
impl Objective for Gbce {
    fn masks_items(&self) -> bool {
        false
    }
}
impl Objective for SampledSoftmax {
    fn masks_items(&self) -> bool {
        false
    }
}
impl Objective for MaskedItems {
    fn masks_items(&self) -> bool {
        true
    }
}
