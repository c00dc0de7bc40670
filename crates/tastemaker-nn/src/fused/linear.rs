//! Linear layers with a bias and, perhaps, an activation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::block::add_up;
use super::matrix::{Panels, Part, Precision, View, multiply_packed};
use super::scratch::Scratch;
use super::simd::{exp, gelu, vectorised};
use super::{slice, tensor_like, with_slice};
use crate::composite;

/// A linear layer's weight [outputs, inputs], packed for one of its passes.
#[derive(Clone, Copy)]
pub(crate) enum Pass {
    /// For `x · weightᵀ`.
    Forward,
    /// For `dy · weight`.
    Backward,
}

impl Pass {
    /// Packs `weight` of `outputs` rows.
    pub(crate) fn pack(self, precision: Precision, weight: &[f32], outputs: usize) -> Panels {
        let inputs = weight.len() / outputs;
        let weight = View::rows(weight, inputs);
        match self {
            Self::Forward => Panels::new(precision, weight.transposed(), (inputs, outputs)),
            Self::Backward => Panels::new(precision, weight, (outputs, inputs)),
        }
    }
}

/// `out = x · weightᵀ + bias` over `rows` rows; `weight` is packed for the forward pass.
#[inline(always)]
pub(crate) fn linear(x: &[f32], (weight, bias): (&Panels, &[f32]), rows: usize, out: &mut [f32]) {
    for row in out.chunks_exact_mut(bias.len()) {
        row.copy_from_slice(bias);
    }
    let x = View::rows(x, x.len() / rows);
    multiply_packed((out, bias.len(), true), rows, x, weight);
}

/// The gradients of [`linear`]: `dx` is overwritten, for a `weight` packed for the backward pass;
/// that of the bias is added to, that of the weight overwritten or, if `add`, added to. What is
/// absent costs nothing.
#[inline(always)]
pub(crate) fn linear_backward(
    (x, dy): (&[f32], &[f32]),
    weight: &Panels,
    (rows, outputs): (usize, usize),
    dx: Option<&mut [f32]>,
    (d_weight, d_bias): (Option<&mut [f32]>, Option<&mut [f32]>),
    add: bool,
) {
    let inputs = x.len() / rows;
    let (gradient, precision) = (View::rows(dy, outputs), weight.precision());
    if let Some(dx) = dx {
        multiply_packed((dx, inputs, false), rows, gradient, weight);
    }
    if let Some(d_weight) = d_weight {
        let (shape, x) = ((outputs, inputs, rows), View::rows(x, inputs));
        let (out, gradient) = ((d_weight, inputs), gradient.transposed());
        if add {
            precision.multiply_add(out, shape, gradient, x);
        } else {
            precision.multiply(Part::Whole, out, shape, gradient, x);
        }
    }
    if let Some(d_bias) = d_bias {
        for dy in dy.chunks_exact(outputs) {
            super::norm::add(d_bias, dy);
        }
    }
}

/// What a layer does to its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// max(0, x).
    Relu,
    /// x Φ(x), with Φ the normal distribution function (Hendrycks and Gimpel 2016).
    Gelu,
    /// x σ(x) (Elfwing, Uchibe and Doya 2018), also known as swish.
    Silu,
}

impl Activation {
    /// The activation and its derivative at `x`.
    #[inline(always)]
    fn at(self, x: f32) -> (f32, f32) {
        match self {
            Self::None => (x, 1.0),
            Self::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
            Self::Gelu => gelu(x),
            Self::Silu => {
                let sigmoid = 1.0 / (1.0 + exp(-x));
                (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
            }
        }
    }

    /// Puts the activations in the place of `values` and the derivatives in `slopes`.
    #[inline(always)]
    pub(super) fn apply(self, values: &mut [f32], slopes: &mut [f32]) {
        for (value, slope) in values.iter_mut().zip(slopes) {
            (*value, *slope) = self.at(*value);
        }
    }
}

vectorised! {
    fn linear_all<'a>(
        x: &'a [f32],
        layer: (&'a Panels, &'a [f32]),
        rows: usize,
        out: &'a mut [f32],
    ) -> () = linear;
}

vectorised! {
    fn linear_backward_all<'a>(
        x: (&'a [f32], &'a [f32]),
        weight: &'a Panels,
        shape: (usize, usize),
        dx: Option<&'a mut [f32]>,
        learns: (Option<&'a mut [f32]>, Option<&'a mut [f32]>),
        add: bool,
    ) -> () = linear_backward;
}

vectorised! {
    fn activate_all<'a>(
        activation: Activation,
        values: &'a mut [f32],
        slopes: &'a mut [f32],
    ) -> () = Activation::apply;
}

vectorised! {
    fn multiply_all<'a>(values: &'a mut [f32], factors: &'a [f32]) -> () = times;
}

/// Rows a task takes; fixed, so that sums over tasks do not depend on the threads.
const ROWS: usize = 128;

/// `activation(x · weightᵀ + bias)` as one operation: `x` is `[rows, inputs]`, `weight`
/// `[outputs, inputs]`, `bias` `[outputs]`; the result is `[rows, outputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// What is done to the sums.
    pub activation: Activation,
    /// What the factors are rounded to.
    pub precision: Precision,
}

impl Linear {
    /// The layer, differentiable.
    pub fn apply(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            return x.apply_op3(weight, bias, self);
        }
        composite::linear(x, weight, bias, self.activation)
    }

    /// The result, and the derivatives of the activation.
    fn run(self, x: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Scratch) {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let panels = Pass::Forward.pack(self.precision, weight, outputs);
        let rows = x.len() / inputs;
        let (mut y, mut slopes) = (vec![0.0; rows * outputs], Scratch::new(rows * outputs));
        let pieces = y.par_chunks_mut(ROWS * outputs).zip(slopes.par_chunks_mut(ROWS * outputs));
        pieces.zip(x.par_chunks(ROWS * inputs)).for_each(|((y, slopes), x)| {
            linear_all(x, (&panels, bias), x.len() / inputs, y);
            activate_all(self.activation, y, slopes);
        });
        (y, slopes)
    }

    /// The gradients of `x`, `weight` and `bias`, as far as they learn.
    fn gradients(
        self,
        (x, weight, bias): (&[f32], &[f32], &[f32]),
        dy: &[f32],
        learns: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let (_, mut slopes) = self.run(x, weight, bias);
        let panels = Pass::Backward.pack(self.precision, weight, outputs);
        let mut dx = vec![0.0; if learns[0] { x.len() } else { 0 }];
        let pieces: Vec<_> = dx.chunks_mut(ROWS * inputs).map(Some).collect();
        let absent = std::iter::repeat_with(|| None);
        let tasks = x.len().div_ceil(ROWS * inputs);
        let pieces: Vec<Option<&mut [f32]>> =
            pieces.into_iter().chain(absent).take(tasks).collect();
        let partial: Vec<(Scratch, Scratch)> = pieces
            .into_par_iter()
            .zip(slopes.par_chunks_mut(ROWS * outputs))
            .zip(x.par_chunks(ROWS * inputs).zip(dy.par_chunks(ROWS * outputs)))
            .map(|((dx, slopes), (x, dy))| {
                multiply_all(slopes, dy);
                let mut d_weight = Scratch::new(if learns[1] { weight.len() } else { 0 });
                let mut d_bias = Scratch::zeros(if learns[2] { outputs } else { 0 });
                let learn =
                    (learns[1].then_some(&mut d_weight[..]), learns[2].then_some(&mut d_bias[..]));
                let rows = x.len() / inputs;
                linear_backward_all((x, slopes), &panels, (rows, outputs), dx, learn, false);
                (d_weight, d_bias)
            })
            .collect();
        let (d_weight, d_bias): (Vec<_>, Vec<_>) = partial.into_iter().unzip();
        let [of_weight, of_bias] = [add_up(&d_weight), add_up(&d_bias)];
        [learns[0].then_some(dx), learns[1].then_some(of_weight), learns[2].then_some(of_bias)]
    }
}

/// `values *= factors`.
#[inline(always)]
pub(super) fn times(values: &mut [f32], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = x_layout.shape().dims2()?;
        let (outputs, of_weight) = weight_layout.shape().dims2()?;
        if inputs != of_weight || bias_layout.shape().dims() != [outputs] {
            bail!("a layer [{outputs}, {of_weight}] does not fit {inputs} inputs or its bias");
        }
        let (x, weight) = (slice(x, x_layout)?, slice(weight, weight_layout)?);
        let (y, _) = self.run(x, weight, slice(bias, bias_layout)?);
        Ok((CpuStorage::F32(y), Shape::from((rows, outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let learns = [x, weight, bias].map(Tensor::track_op);
        let [dx, d_weight, d_bias] = with_slice(x, |x| {
            with_slice(weight, |weight| {
                with_slice(bias, |bias| {
                    let gradients = |dy: &[f32]| self.gradients((x, weight, bias), dy, learns);
                    with_slice(gradient, |dy| Ok(gradients(dy)))
                })
            })
        })?;
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|values| tensor_like(values, like)).transpose()
        };
        Ok((tensor(dx, x)?, tensor(d_weight, weight)?, tensor(d_bias, bias)?))
    }
}
