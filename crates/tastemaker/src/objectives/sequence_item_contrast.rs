//! A sequence against the items that came after others.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::transformer::Sides;

use super::Objective;
use super::pieces::{check_positive, contrast, normalised};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// `InfoNCE` of each sequence with the item that came after it, against those that came after the
/// batch's other sequences.
///
/// # Formula
/// −log( e^(h·v⁺/τ) / Σⱼ e^(h·vⱼ/τ) ), averaged over sequences, with h the state of the last place,
/// v⁺ the embedding of the item after it and vⱼ those of the batch; both of length 1 if `cosine`.
/// The same item after another sequence is left out of the sum.
///
/// # When not to use it
/// Alone: with `cosine` the scores it learns are not those by which items are ranked, and its
/// negatives are as many as the batch has sequences.
///
/// # References
/// Oord et al. 2018, *Representation learning with contrastive predictive coding*; the
/// sequence–item objective of Hou et al. 2022, *`UniSRec`* (τ = 0.07), whose code leaves e⁰ of the
/// excluded terms in the sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SequenceItemContrast {
    /// The temperature τ.
    pub temperature: f64,
    /// Whether states and embeddings are scaled to length 1.
    pub cosine: bool,
}

impl Default for SequenceItemContrast {
    fn default() -> Self {
        Self { temperature: 0.07, cosine: true }
    }
}

impl Objective for SequenceItemContrast {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn recommends(&self) -> bool {
        !self.cosine
    }

    fn is_of_one_user(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_positive("temperature", self.temperature)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        _facts: &Facts<'_>,
        _rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        if let [items @ .., next] = window.items {
            let asked = std::iter::once((items.len() - 1, *next));
            batch.push(items.iter().map(|item| item.0), asked);
        }
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let targets = &asked.batch.targets;
        let (mut states, mut items) = (asked.hidden()?, asked.table().rows(targets.clone())?);
        if self.cosine {
            (states, items) = (normalised(&states)?, normalised(&items)?);
        }
        let right: Vec<u32> = (0..).take(targets.len()).collect();
        contrast((&states, &items), self.temperature, &right, |i, j| targets[i] == targets[j])
    }
}
