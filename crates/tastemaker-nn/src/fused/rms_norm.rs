//! Root-mean-square normalisation (Zhang and Sennrich 2019): each row to a mean square of 1, then
//! scaled.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::norm::add;
use super::simd::{dot, vectorised};
use super::{Epsilon, slice, tensor_like, with_slice};
use crate::composite;

/// Rows a task takes; fixed, so that sums over tasks do not depend on the threads.
const ROWS: usize = 128;

/// `x / √(mean(x²) + ε) · weight` as one operation: `x` `[tokens, width]`, `weight` `[width]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RmsNorm(
    /// ε.
    pub Epsilon,
);

impl RmsNorm {
    /// The norms, differentiable.
    pub fn apply(self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            x.apply_op2(weight, self)
        } else {
            composite::rms_norm(x, weight, self.0)
        }
    }

    pub(crate) fn run(self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let piece = ROWS * weight.len();
        out.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(out, x)| {
            forward_all(self.0.get(), x, weight, out);
        });
        out
    }
}

vectorised! {
    fn forward_all<'a>(epsilon: f32, x: &'a [f32], weight: &'a [f32], out: &'a mut [f32]) -> () = forward;
}

vectorised! {
    fn backward_all<'a>(
        epsilon: f32,
        x: &'a [f32],
        weight: &'a [f32],
        dy: &'a [f32],
        dx: Option<&'a mut [f32]>,
        d_weight: Option<&'a mut [f32]>,
    ) -> () = backward;
}

/// One over the root mean square.
#[inline(always)]
fn scale(epsilon: f32, x: &[f32]) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// [`RmsNorm::run`] on the calling thread.
#[inline(always)]
pub(crate) fn forward(epsilon: f32, x: &[f32], weight: &[f32], out: &mut [f32]) {
    let width = weight.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let scale = scale(epsilon, x);
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// `dx` is overwritten, `d_weight` is added to; what is absent costs nothing.
#[inline(always)]
pub(crate) fn backward(
    epsilon: f32,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    mut dx: Option<&mut [f32]>,
    mut d_weight: Option<&mut [f32]>,
) {
    let width = weight.len();
    for (row, (x, dy)) in x.chunks_exact(width).zip(dy.chunks_exact(width)).enumerate() {
        let scale = scale(epsilon, x);
        if let Some(d_weight) = &mut d_weight {
            for i in 0..width {
                d_weight[i] += dy[i] * x[i] * scale;
            }
        }
        if let Some(dx) = &mut dx {
            let dx = &mut dx[row * width..][..width];
            for i in 0..width {
                dx[i] = dy[i] * weight[i];
            }
            let mean_product = dot(dx, x) * scale * scale / width as f32;
            for i in 0..width {
                dx[i] = scale * (dx[i] - x[i] * mean_product);
            }
        }
    }
}

fn gradients(
    epsilon: Epsilon,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    learns: [bool; 2],
) -> (Option<Vec<f32>>, Option<Vec<f32>>) {
    let width = weight.len();
    let piece = ROWS * width;
    let tasks = x.par_chunks(piece).zip(dy.par_chunks(piece));
    let partial: Vec<(Vec<f32>, Vec<f32>)> = tasks
        .map(|(x, dy)| {
            let mut dx = vec![0.0; if learns[0] { x.len() } else { 0 }];
            let mut d_weight = vec![0.0; if learns[1] { width } else { 0 }];
            let of_x = learns[0].then_some(&mut dx[..]);
            backward_all(
                epsilon.get(),
                x,
                weight,
                dy,
                of_x,
                learns[1].then_some(&mut d_weight[..]),
            );
            (dx, d_weight)
        })
        .collect();
    let mut sum = vec![0.0; if learns[1] { width } else { 0 }];
    for (_, d_weight) in &partial {
        add(&mut sum, d_weight);
    }
    let dx = partial.into_iter().flat_map(|(dx, _)| dx).collect();
    (learns[0].then_some(dx), learns[1].then_some(sum))
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = self.run(slice(x, x_layout)?, slice(weight, weight_layout)?);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let learns = [x.track_op(), weight.track_op()];
        let (dx, d_weight) = with_slice(x, |values| {
            with_slice(weight, |weight| {
                with_slice(gradient, |dy| Ok(gradients(self.0, values, weight, dy, learns)))
            })
        })?;
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|values| tensor_like(values, like)).transpose()
        };
        Ok((tensor(dx, x)?, tensor(d_weight, weight)?))
    }
}
