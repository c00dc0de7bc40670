//! How far the losses of groups of users are from each other.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, Error, UserId};
use tastemaker_nn::transformer::Sides;

use super::{Objective, next_item};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window, at, ungroupable};

/// Squared difference of the losses of groups of users, against serving some worse than others.
///
/// # Formula
/// The mean over pairs of groups of (mᵍ − mʰ)², with mᵍ the mean over the group's places in a batch
/// of −log( e^s⁺ / Σⱼ e^sⱼ ), as `softmax` has it. From 0 on; 0 where a batch has one group alone. With
/// `accumulate` the groups are those of each part of a step.
/// Users of whom no value of the attribute is known are in none; who has several is in a group of
/// just these.
///
/// # When not to use it
/// Alone. With small batches or small groups: most of the difference is then chance, and is larger
/// than 0 whatever the model knows. It also becomes smaller where those who are served well are
/// served worse.
///
/// # References
/// Yao and Huang 2017, *Beyond parity: fairness objectives for collaborative filtering* (FOCF),
/// whose non-parity is the absolute difference of two groups' mean predictions; here it is that of
/// their losses, squared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GroupGap {
    /// The attribute of users whose categories are the groups.
    pub attribute: String,
}

impl Objective for GroupGap {
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
        if self.attribute.is_empty() {
            let expected = "an attribute of users, such as \"gender\"";
            return Err(Error::setting("attribute", "empty", expected));
        }
        Ok(())
    }

    fn unsuitable(&self, data: &Dataset) -> Option<String> {
        ungroupable(&self.attribute, data)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let first = next_item::ask(window.items, facts, rng, batch);
        // Whose each place is.
        batch.numbers.extend(window.items.iter().skip(first).map(|_| window.user.0));
    }

    fn loss(&self, asked: &Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let (batch, hidden) = (asked.batch, asked.hidden()?);
        let mut groups: BTreeMap<&[String], Vec<u32>> = BTreeMap::new();
        for (row, &user) in (0..).zip(&batch.numbers) {
            groups.entry(asked.facts.group(&self.attribute, UserId(user))).or_default().push(row);
        }
        groups.remove(&[][..]);
        let mean = |rows: Vec<u32>| -> Result<Tensor> {
            let targets = rows.iter().map(|&row| batch.targets[row as usize]).collect();
            let hidden = at(&hidden, &rows)?;
            Ok(asked.table().softmax(&hidden, targets, batch.n_items as usize)?)
        };
        let means: Vec<Tensor> = groups.into_values().map(mean).collect::<Result<_>>()?;
        if means.is_empty() {
            // Of nobody in the batch anything is known; the loss must reach the model all the same.
            return Ok((hidden.sum_all()? * 0.0)?);
        }
        mean_squared_gap(&Tensor::stack(&means, 0)?)
    }
}

/// The mean over pairs of `means` [groups] of their squared difference; 0 of one alone.
fn mean_squared_gap(means: &Tensor) -> Result<Tensor> {
    let n = means.dim(0)?;
    // All pairs, both ways, and each with itself.
    let gaps = means.unsqueeze(1)?.broadcast_sub(&means.unsqueeze(0)?)?;
    let pairs = (n * (n - 1)).max(1) as f64;
    Ok((gaps.sqr()?.sum_all()? / pairs)?)
}

#[cfg(test)]
pub(super) mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub(in crate::objectives) struct Golden {
        pub(in crate::objectives) scores: Vec<f32>,
        pub(in crate::objectives) popularity: Vec<f64>,
        pub(in crate::objectives) squared_correlation: f64,
        pub(in crate::objectives) squared_correlation_gradient: Vec<f64>,
        means: Vec<f32>,
        squared_gap: f64,
        squared_gap_gradient: Vec<f64>,
    }

    pub(in crate::objectives) fn golden() -> Golden {
        serde_json::from_str(include_str!("../../tests/golden/fairness.json")).unwrap()
    }

    /// These numbers, but for what f32 cannot tell.
    pub(in crate::objectives) fn close(found: &Tensor, expected: &[f64]) {
        let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(found.len(), expected.len());
        let mut both = found.iter().zip(expected);
        assert!(both.all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{found:?} {expected:?}");
    }

    #[test]
    fn the_gap_and_its_gradient_are_those_of_torch() {
        let golden = golden();
        let means = Var::from_vec(golden.means.clone(), golden.means.len(), &Device::Cpu).unwrap();
        let loss = mean_squared_gap(means.as_tensor()).unwrap();
        close(&loss, &[golden.squared_gap]);
        close(loss.backward().unwrap().get(&means).unwrap(), &golden.squared_gap_gradient);
        let alone = Tensor::new(&[3.0f32], &Device::Cpu).unwrap();
        close(&mean_squared_gap(&alone).unwrap(), &[0.0]);
    }
}
