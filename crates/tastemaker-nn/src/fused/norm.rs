//! Layer normalisation (Ba, Kiros and Hinton 2016): each row to mean 0 and variance 1, then
//! scaled and shifted.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::simd::{dot, sum, vectorised};
use super::{Epsilon, Norm, slice, tensor_like, with_slice};
use crate::composite;

/// Rows a task takes; fixed, so that sums over tasks do not depend on the threads.
const ROWS: usize = 128;

/// A norm of rows, with what it adds to the variance, its scale and its shift.
#[derive(Clone, Copy)]
pub(crate) struct Norms<'a> {
    pub(crate) norm: Norm,
    pub(crate) epsilon: f32,
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

impl Norms<'_> {
    /// `out` = the norms of the rows of `x`; mean and reciprocal deviation of each row go to
    /// `stats`. A root-mean-square norm takes the mean to be 0.
    #[inline(always)]
    pub(crate) fn apply(self, x: &[f32], out: &mut [f32], stats: &mut [[f32; 2]]) {
        let width = self.weight.len();
        let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(stats);
        for ((x, out), stats) in rows {
            let mean = if self.norm == Norm::Layer { sum(x) / width as f32 } else { 0.0 };
            for (out, x) in out.iter_mut().zip(x) {
                *out = x - mean;
            }
            let scale = 1.0 / (dot(out, out) / width as f32 + self.epsilon).sqrt();
            for ((out, weight), bias) in out.iter_mut().zip(self.weight).zip(self.bias) {
                *out = *out * scale * weight + bias;
            }
            *stats = [mean, scale];
        }
    }

    /// The norms of the rows of `x`, written to `out`.
    pub(crate) fn run(self, x: &[f32], out: &mut [f32]) {
        let piece = ROWS * self.weight.len();
        out.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(out, x)| {
            norms_all(self, x, out, &mut [[0.0; 2]; ROWS]);
        });
    }
}

vectorised! {
    fn norms_all<'a>(
        norms: Norms<'a>,
        x: &'a [f32],
        out: &'a mut [f32],
        stats: &'a mut [[f32; 2]],
    ) -> () = Norms::apply;
}

/// The gradients of a layer norm: `dx` is added to, and so are those of weight and bias. What is
/// absent costs nothing.
#[inline(always)]
pub(crate) fn backward(
    (x, stats): (&[f32], &[[f32; 2]]),
    weight: &[f32],
    dy: &[f32],
    dx: Option<&mut [f32]>,
    learns: (Option<&mut [f32]>, Option<&mut [f32]>),
) {
    styled_backward(Norm::Layer, (x, stats), weight, dy, dx, learns);
}

/// [`backward`] of either norm.
#[inline(always)]
pub(crate) fn styled_backward(
    norm: Norm,
    (x, stats): (&[f32], &[[f32; 2]]),
    weight: &[f32],
    dy: &[f32],
    dx: Option<&mut [f32]>,
    (d_weight, d_bias): (Option<&mut [f32]>, Option<&mut [f32]>),
) {
    let width = weight.len();
    if let Some(d_weight) = d_weight {
        for ((x, dy), [mean, scale]) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(stats)
        {
            for i in 0..width {
                d_weight[i] += dy[i] * (x[i] - mean) * scale;
            }
        }
    }
    if let Some(d_bias) = d_bias {
        for dy in dy.chunks_exact(width) {
            add(d_bias, dy);
        }
    }
    let Some(dx) = dx else { return };
    let mut gradient = vec![0.0; width];
    let mut normal = vec![0.0; width];
    let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((x, dy), dx), [mean, scale]) in rows.zip(stats) {
        for i in 0..width {
            gradient[i] = dy[i] * weight[i];
            normal[i] = (x[i] - mean) * scale;
        }
        let mean_gradient = if norm == Norm::Layer { sum(&gradient) / width as f32 } else { 0.0 };
        let mean_product = dot(&gradient, &normal) / width as f32;
        for i in 0..width {
            dx[i] += scale * (gradient[i] - mean_gradient - normal[i] * mean_product);
        }
    }
}

vectorised! {
    fn backward_all<'a>(
        x: (&'a [f32], &'a [[f32; 2]]),
        weight: &'a [f32],
        dy: &'a [f32],
        dx: Option<&'a mut [f32]>,
        learns: (Option<&'a mut [f32]>, Option<&'a mut [f32]>),
    ) -> () = backward;
}

vectorised! {
    pub(crate) fn add_all<'a>(sum: &'a mut [f32], values: &'a [f32]) -> () = add;
}

/// Layer normalisation as one operation: `x` [tokens, width], `weight` and `bias` of that width.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerNorm(
    /// What is added to the variance.
    pub Epsilon,
);

impl LayerNorm {
    /// The norms, differentiable.
    pub fn apply(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            x.apply_op3(weight, bias, self)
        } else {
            composite::layer_norm(x, (weight, bias), self.0)
        }
    }

    /// The norms of the rows of `x`.
    pub(crate) fn run(self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        Norms { norm: Norm::Layer, epsilon: self.0.get(), weight, bias }.run(x, &mut out);
        out
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
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
        let (x, weight) = (slice(x, x_layout)?, slice(weight, weight_layout)?);
        let bias = slice(bias, bias_layout)?;
        Ok((CpuStorage::F32(self.run(x, weight, bias)), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, d_weight, d_bias) = with_slice(x, |x| {
            with_slice(weight, |weight| {
                with_slice(gradient, |dy| Ok(gradients(self.0, x, weight, dy)))
            })
        })?;
        Ok((
            Some(tensor_like(dx, x)?),
            Some(tensor_like(d_weight, weight)?),
            Some(tensor_like(d_bias, bias)?),
        ))
    }
}

fn gradients(
    epsilon: Epsilon,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let piece = ROWS * width;
    let mut dx = vec![0.0; x.len()];
    let tasks = dx.par_chunks_mut(piece).zip(x.par_chunks(piece)).zip(dy.par_chunks(piece));
    let partial: Vec<(Vec<f32>, Vec<f32>)> = tasks
        .map(|((dx, x), dy)| {
            let (mut d_weight, mut d_bias) = (vec![0.0; width], vec![0.0; width]);
            let (mut stats, mut out) = ([[0.0; 2]; ROWS], vec![0.0; x.len()]);
            // Their shifts change neither.
            let norms = Norms { norm: Norm::Layer, epsilon: epsilon.get(), weight, bias: weight };
            norms_all(norms, x, &mut out, &mut stats);
            let learns = (Some(&mut d_weight[..]), Some(&mut d_bias[..]));
            backward_all((x, &stats), weight, dy, Some(dx), learns);
            (d_weight, d_bias)
        })
        .collect();
    let (mut d_weight, mut d_bias) = (vec![0.0; width], vec![0.0; width]);
    for (weight, bias) in partial {
        add(&mut d_weight, &weight);
        add(&mut d_bias, &bias);
    }
    (dx, d_weight, d_bias)
}

/// `sum += values`.
#[inline(always)]
pub(crate) fn add(sum: &mut [f32], values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}
