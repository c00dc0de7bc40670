//! How much the scores of what comes next follow its popularity.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::ItemId;
use tastemaker_nn::transformer::Sides;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Squared correlation of the next items' scores with their popularity, against popularity bias.
///
/// # Formula
/// r², with r the Pearson correlation, over the places of a batch, of s⁺, the score of the next
/// item, and how often that item stands in the training part. From 0 to 1; 0 where all are as
/// popular.
///
/// # When not to use it
/// Alone: it learns that scores do not follow popularity, and nothing of what comes next. With
/// `accumulate` the correlation is that of each part of a step. It sees s⁺ alone: what popular items
/// score that do not come next is not looked at.
///
/// # References
/// Zhu et al. 2021, *Popularity-opportunity bias in collaborative filtering*, its regularisation;
/// there the scores are those of matrix factorisation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PopularityCorrelation {}

impl Objective for PopularityCorrelation {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn suits_encoder_decoder(&self) -> bool {
        true
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

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        next_item::ask(window.items, facts, rng, batch);
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let targets = &asked.batch.targets;
        let items = asked.table().rows(targets.clone())?;
        let scores = asked.hidden()?.mul(&items)?.sum(1)?;
        let popularity = |&target: &u32| f64::from(asked.facts.popularity(ItemId(target)));
        let popularity: Vec<f64> = targets.iter().map(popularity).collect();
        squared_correlation(&scores, &popularity)
    }
}

/// The squared Pearson correlation of `scores` [n] with these numbers; 0 where either does not vary.
fn squared_correlation(scores: &Tensor, numbers: &[f64]) -> Result<Tensor> {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let deviation = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "a loss is f32")]
    let scaled = |x: &f64| if deviation > 0.0 { ((x - mean) / deviation) as f32 } else { 0.0 };
    let scaled: Vec<f32> = numbers.iter().map(scaled).collect();
    let scaled = Tensor::from_vec(scaled, numbers.len(), scores.device())?;
    let scores = scores.broadcast_sub(&scores.mean_all()?)?;
    let covariance = scores.mul(&scaled)?.mean_all()?;
    let variance = (scores.sqr()?.mean_all()? + 1e-12)?;
    Ok(covariance.sqr()?.div(&variance)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::objectives::group_gap::tests::{close, golden};

    #[test]
    fn the_squared_correlation_and_its_gradient_are_those_of_torch() {
        let golden = golden();
        let scores =
            Var::from_vec(golden.scores.clone(), golden.scores.len(), &Device::Cpu).unwrap();
        let loss = squared_correlation(scores.as_tensor(), &golden.popularity).unwrap();
        close(&loss, &[golden.squared_correlation]);
        let gradients = loss.backward().unwrap();
        close(gradients.get(&scores).unwrap(), &golden.squared_correlation_gradient);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        let of = |scores: [f32; 3], numbers: [f64; 3]| {
            let scores = Tensor::new(&scores, &Device::Cpu).unwrap();
            squared_correlation(&scores, &numbers).unwrap().to_scalar::<f32>().unwrap()
        };
        assert!(of([1.0, 2.0, 3.0], [5.0; 3]).abs() < 1e-6);
        assert!(of([2.0; 3], [1.0, 2.0, 3.0]).abs() < 1e-6);
        assert!((of([1.0, 2.0, 3.0], [6.0, 4.0, 2.0]) - 1.0).abs() < 1e-6);
    }
}
