//! The next item, given what is to come.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::Dataset;
use tastemaker_nn::transformer::Sides;

use super::pieces::check_share;
use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Softmax cross-entropy of the next item, given how much value came afterwards; items of more
/// value count more.
///
/// # What it does
/// In training the backbone's `return` view tells at each place how much value the user's later
/// interactions had. When it recommends, it is told that much is to come: the `quantile` of what
/// came in training.
///
/// # Formula
/// −Σ v log( e^s⁺ / Σⱼ e^sⱼ ) / Σ v, with v the value (rating, count) of the next item.
///
/// # When not to use it
/// Where all interactions have the same value, or values that do not say what is wanted.
///
/// # References
/// Xin et al. 2022, *Rethinking reinforcement learning for recommendation: a prompt perspective*
/// (PRL), whose prompt also has the step; there the prompted reward stands beside a state, here it
/// is added to the items as a view, and what comes later counts less (0.9 an item).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ReturnConditioned {
    /// Of the returns in training, the share that is below the one that is asked for.
    pub quantile: f64,
}

impl Default for ReturnConditioned {
    fn default() -> Self {
        Self { quantile: 0.9 }
    }
}

impl Objective for ReturnConditioned {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn suits_encoder_decoder(&self) -> bool {
        true
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_share("quantile", self.quantile)
    }

    fn unsuitable(&self, data: &Dataset) -> Option<String> {
        let values = data.interactions.all_values();
        match values {
            None => Some("the interactions have no values, such as ratings".to_owned()),
            Some(values) if values.iter().any(|value| *value < 0.0 || value.is_nan()) => {
                Some("the interactions have values below 0, which cannot weigh".to_owned())
            }
            Some(_) => None,
        }
    }

    fn prompted_return(&self) -> Option<f64> {
        Some(self.quantile)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let first = next_item::ask(window.items, facts, rng, batch);
        let values = facts.values(window).unwrap_or_default();
        batch.labels.extend(values.iter().skip(first));
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let batch = asked.batch;
        // Where nothing in the batch has a value, all count alike.
        let weigh = batch.labels.iter().any(|&value| value > 0.0);
        let weights = weigh.then(|| batch.labels.clone());
        let (targets, n_items) = (batch.targets.clone(), batch.n_items as usize);
        Ok(asked.table().weighted_softmax(&asked.hidden()?, (targets, weights), n_items)?)
    }
}
