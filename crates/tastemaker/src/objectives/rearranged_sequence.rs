//! Whether a sequence was put in another order.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::Added;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::transformer::Sides;

use super::Objective;
use super::pieces::{check_share, end, shuffled};
use super::yes_no::{yes_no, yes_no_parameters};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Whether the items of a sequence stand in their own order or in another, told from a mask at
/// its end.
///
/// # Formula
/// Binary cross-entropy of w·h + b, with h the state of the mask, averaged over sequences.
///
/// # When not to use it
/// Alone: it learns what orders are likely and not which item comes next.
///
/// # References
/// Zhao 2022, *`RESETBERT4Rec`: a pre-training model integrating time and user historical behavior
/// for sequential recommendation*, where it stands beside masked items; of its details only the
/// abstract was at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RearrangedSequence {
    /// The share of sequences that are put in another order.
    pub probability: f64,
}

impl Default for RearrangedSequence {
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl Objective for RearrangedSequence {
    fn sides(&self) -> Sides {
        Sides::Both
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn recommends(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_share("probability", self.probability)
    }

    fn parameters(&self, _facts: &Facts<'_>, shape: Shape) -> Vec<Added> {
        yes_no_parameters(shape)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let items = end(window, (facts, 1), batch);
        let (items, other) = if rng.random_bool(self.probability) {
            shuffled(items, rng)
        } else {
            (items.to_vec(), false)
        };
        let mask = batch.mask();
        batch.push_whole(items.into_iter().map(|item| item.0).chain([mask]));
        batch.labels.push(f32::from(u8::from(other)));
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        yes_no(asked)
    }
}
