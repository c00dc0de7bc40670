//! Items that a generator put in.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::Error;
use tastemaker_nn::adapters::Added;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::transformer::{Input, Sides};

use super::Objective;
use super::pieces::{ask_hidden, binary, check_share, check_weight, end, hidden};
use super::yes_no::{logits, yes_no_parameters};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// Which items of a sequence are its own and which a generator put in.
///
/// # What it does
/// A small generator, with blocks of its own on the same embeddings, learns to foretell hidden
/// items; one is drawn from what it foretells for each, and the model says of every place whether
/// its item was replaced. Only the generator is told views and times: that those of hidden items
/// are unknown would tell the model which they are.
///
/// # Formula
/// `L_G` + `weight` · `L_D`, with `L_G` the generator's softmax cross-entropy over the hidden places
/// and `L_D` the binary cross-entropy of w·h + b over all places, each averaged. No gradient goes
/// through what was drawn.
///
/// # When not to use it
/// Alone: the model learns to tell what does not belong and not which item comes next.
///
/// # References
/// Clark et al. 2020, *ELECTRA* (`weight` 50, shared embeddings); for items
/// `Transformers4Rec` (Moreira et al. 2021).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ReplacedItems {
    /// The share of places whose items are drawn.
    pub probability: f64,
    /// Blocks of the generator.
    pub generator_layers: usize,
    /// How much the model's part counts beside the generator's.
    pub weight: f64,
}

impl Default for ReplacedItems {
    fn default() -> Self {
        Self { probability: 0.3, generator_layers: 1, weight: 50.0 }
    }
}

/// The tokens of the batch with those drawn that the generator foretells at hidden places.
fn replaced(asked: &Asked<'_>, states: &Tensor, rng: &mut ChaCha8Rng) -> Result<Vec<u32>> {
    let (batch, n_items) = (asked.batch, asked.batch.n_items as usize);
    let table = asked.table().tensor()?.detach().narrow(0, 0, n_items)?;
    let scores = states.detach().matmul(&table.t()?)?.to_vec2::<f32>()?;
    let mut tokens = batch.numbers.clone();
    let rows: Vec<u32> = match &batch.rows {
        Some(rows) => rows.clone(),
        None => (0..).take(tokens.len()).collect(),
    };
    for (row, scores) in rows.into_iter().zip(scores) {
        tokens[row as usize] = draw(&scores, rng.random());
    }
    Ok(tokens)
}

/// The class at which the softmax of `scores`, added up, reaches the share `at`.
fn draw(scores: &[f32], at: f64) -> u32 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |score: &f32| f64::from(score - largest).exp();
    let mut left = at * scores.iter().map(power).sum::<f64>();
    let reached = scores.iter().position(|score| {
        left -= power(score);
        left <= 0.0
    });
    u32::try_from(reached.unwrap_or(scores.len() - 1)).expect("items are numbered in 32 bits")
}

impl Objective for ReplacedItems {
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
        check_share("probability", self.probability)?;
        check_weight("weight", self.weight)?;
        if !(1..=64).contains(&self.generator_layers) {
            let expected = "a number from 1 to 64";
            return Err(Error::setting("generator-layers", self.generator_layers, expected));
        }
        Ok(())
    }

    fn parameters(&self, _facts: &Facts<'_>, shape: Shape) -> Vec<Added> {
        yes_no_parameters(shape)
    }

    fn generator_layers(&self) -> usize {
        self.generator_layers
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let items = end(window, (facts, 0), batch);
        let hidden = hidden(items.len(), self.probability, rng);
        batch.numbers.extend(items.iter().map(|item| item.0));
        ask_hidden(items, &hidden, batch);
    }

    fn loss(&self, asked: &Asked<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let batch = asked.batch;
        let states = asked.at_rows(&asked.model.generated(&batch.input, asked.pass)?)?;
        let n_items = batch.n_items as usize;
        let generator = asked.table().softmax(&states, batch.targets.clone(), n_items)?;
        let tokens = replaced(asked, &states, rng)?;
        let wrong: Vec<f32> = tokens
            .iter()
            .zip(&batch.numbers)
            .map(|(token, own)| f32::from(u8::from(token != own)))
            .collect();
        let profiles = batch.input.profiles.clone();
        let input = Input { profiles, ..Input::new(tokens.into(), batch.input.lanes.clone()) };
        let logits = logits(asked, &asked.model.states(&input, asked.pass)?)?;
        let n = wrong.len();
        let wrong = Tensor::from_vec(wrong, n, logits.device())?;
        let model = (binary(&logits, &wrong)? * (self.weight / n as f64))?;
        Ok((generator + model)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_drawn_as_often_as_their_probability_says() {
        let scores = [0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
        let drawn: Vec<u32> =
            (0..100).map(|i| draw(&scores, (f64::from(i) + 0.5) / 100.0)).collect();
        let count = |class| drawn.iter().filter(|&&drawn| drawn == class).count();
        assert_eq!((count(0), count(1), count(2)), (25, 75, 0));
    }
}
