//! Two views of a sequence against those of others.

use candle_core::Tensor;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::{Error, ItemId};
use tastemaker_nn::transformer::Sides;

use super::Objective;
use super::pieces::{check_positive, check_share, contrast, normalised};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// `InfoNCE` of two augmented views of each sequence against the views of the batch's others.
///
/// # Formula
/// −log( e^(a·b/τ) / Σⱼ e^(a·cⱼ/τ) ), averaged over all views, with a and b the states of the last
/// places of two views of a sequence and cⱼ those of b and of all views of other sequences, each
/// of length 1.
///
/// # When not to use it
/// Alone: it learns which sequences belong together and not which item comes next.
///
/// # References
/// Xie et al. 2022, *Contrastive learning for sequential recommendation* (`CL4SRec`; crop, mask
/// and reorder, whose states are not scaled); as the sequence–sequence objective in Hou et al. 2022,
/// *`UniSRec`*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SequenceContrast {
    /// The temperature τ.
    pub temperature: f64,
    /// What views are made by; each view by one of these.
    pub augmentations: Vec<Augmentation>,
    /// The share of a sequence that a crop keeps.
    pub crop: f64,
    /// The share of its items that are hidden.
    pub mask: f64,
    /// The share of a sequence, in one stretch, that is put in another order.
    pub reorder: f64,
}

/// How a view is made of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augmentation {
    /// A stretch of it.
    Crop,
    /// Some items hidden.
    Mask,
    /// A stretch of it in another order.
    Reorder,
}

impl Default for SequenceContrast {
    fn default() -> Self {
        let augmentations = vec![Augmentation::Crop, Augmentation::Mask, Augmentation::Reorder];
        Self { temperature: 0.1, augmentations, crop: 0.6, mask: 0.3, reorder: 0.6 }
    }
}

impl SequenceContrast {
    /// One view of `items`, and the place where it begins.
    fn view(&self, items: &[ItemId], mask: u32, rng: &mut ChaCha8Rng) -> (usize, Vec<u32>) {
        let mut tokens: Vec<u32> = items.iter().map(|item| item.0).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length"
        )]
        let stretch = |share: f64, rng: &mut ChaCha8Rng| {
            let n = ((items.len() as f64 * share) as usize).max(1);
            let start = rng.random_range(0..=items.len() - n);
            start..start + n
        };
        match self.augmentations.choose(rng) {
            Some(Augmentation::Crop) => {
                let stretch = stretch(self.crop, rng);
                return (stretch.start, tokens[stretch].to_vec());
            }
            Some(Augmentation::Reorder) => {
                let stretch = stretch(self.reorder, rng);
                tokens[stretch].shuffle(rng);
            }
            Some(Augmentation::Mask) => {
                for token in &mut tokens {
                    if rng.random_bool(self.mask) {
                        *token = mask;
                    }
                }
            }
            None => {}
        }
        (0, tokens)
    }
}

impl Objective for SequenceContrast {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn recommends(&self) -> bool {
        false
    }

    fn is_of_one_user(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        for (name, share) in [("crop", self.crop), ("mask", self.mask), ("reorder", self.reorder)] {
            check_share(name, share)?;
        }
        if self.augmentations.is_empty() {
            let expected = "one or more of crop, mask, reorder";
            return Err(Error::setting("augmentations", "empty", expected));
        }
        check_positive("temperature", self.temperature)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let items = facts.last(window.items, 0);
        let first = window.items.len() - items.len();
        for _ in 0..2 {
            let (start, view) = self.view(items, batch.mask(), rng);
            batch.begin_at(Some(first + start));
            batch.push_whole(view.into_iter());
        }
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let views = normalised(&asked.hidden()?)?;
        // The views of a sequence stand side by side.
        let n = u32::try_from(views.dim(0)?).expect("a batch is small");
        let right: Vec<u32> = (0..n).map(|view| view ^ 1).collect();
        contrast((&views, &views), self.temperature, &right, |i, j| i == j)
    }
}
