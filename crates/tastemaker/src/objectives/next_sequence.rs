//! Whether one stretch follows another.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::adapters::Added;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::transformer::Sides;

use super::Objective;
use super::pieces::stretch_of_another;
use super::yes_no::{yes_no, yes_no_parameters};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Whether the second of two stretches of items follows the first or is another user's, told from
/// a mask at the end; another mask stands between them. Half of them follow.
///
/// # Formula
/// Binary cross-entropy of w·h + b, with h the state of the last mask, averaged over pairs.
///
/// # When not to use it
/// Alone: it learns which stretches belong together and not which item comes next.
///
/// # References
/// Devlin et al. 2019, *BERT* (next sentence prediction).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NextSequence {}

impl Objective for NextSequence {
    fn sides(&self) -> Sides {
        Sides::Both
    }

    fn recommends(&self) -> bool {
        false
    }

    fn is_of_one_user(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        Ok(())
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
        let items = facts.last(window.items, 2);
        // One of the stretches may be another user's.
        batch.begin_at(None);
        if items.len() < 2 {
            return;
        }
        let (first, second) = items.split_at(rng.random_range(1..items.len()));
        let follows = rng.random_bool(0.5);
        let second = if follows {
            second.to_vec()
        } else {
            stretch_of_another((window.user, second.len()), facts, rng)
        };
        let mask = batch.mask();
        let tokens = first.iter().map(|item| item.0).chain([mask]);
        batch.push_whole(tokens.chain(second.iter().map(|item| item.0)).chain([mask]));
        batch.labels.push(f32::from(u8::from(follows)));
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        yes_no(asked)
    }
}
