//! What the objectives that ask for a yes or a no share.

use candle_core::Tensor;
use tastemaker_nn::adapters::Added;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::parameters::Init;

use super::pieces::binary;
use crate::Result;
use crate::train::Asked;

/// The parameters of [`logits`].
pub(super) fn yes_no_parameters(shape: Shape) -> Vec<Added> {
    let width = shape.embedding_size;
    vec![
        ("weight".to_owned(), vec![width, 1], Init::Normal(0.02)),
        ("bias".to_owned(), vec![1], Init::Zeros),
    ]
}

/// A logit a state [n, width]: [n].
pub(super) fn logits(asked: &Asked<'_>, states: &Tensor) -> Result<Tensor> {
    let (weight, bias) = (asked.own("weight"), asked.own("bias"));
    Ok(states.matmul(weight)?.broadcast_add(bias)?.squeeze(1)?)
}

/// The mean binary cross-entropy of a logit a asked row with the batch's labels.
pub(super) fn yes_no(asked: &Asked<'_>) -> Result<Tensor> {
    let logits = logits(asked, &asked.hidden()?)?;
    let labels = &asked.batch.labels;
    let labels = Tensor::from_slice(labels, labels.len(), logits.device())?;
    Ok((binary(&logits, &labels)? / asked.batch.labels.len() as f64)?)
}
