//! Scaled dot-product attention (Vaswani et al. 2017) over one sequence.

use super::matrix::{View, multiply, multiply_add};
use super::simd::{dot, exp, max, sum};

/// How attention is divided, over queries, keys and values that stand in rows of three times the
/// width.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) width: usize,
    pub(crate) count: usize,
    pub(crate) causal: bool,
}

impl Heads {
    fn size(self) -> usize {
        self.width / self.count
    }

    fn scale(self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// Attention of a sequence of `length` tokens: `qkv` [length, 3 width] → `out`
    /// [length, width]; what each token looks at goes to `weights` [heads, length, length].
    #[inline(always)]
    pub(crate) fn forward(self, length: usize, qkv: &[f32], weights: &mut [f32], out: &mut [f32]) {
        let (d, size, scale) = (self.width, self.size(), self.scale());
        for (head, weights) in weights.chunks_exact_mut(length * length).enumerate() {
            let [q, k, v] = [0, d, 2 * d].map(|part| View::rows(&qkv[part + head * size..], 3 * d));
            multiply(weights, length, (length, length, size), q, k.transposed());
            for (row, weights) in weights.chunks_exact_mut(length).enumerate() {
                let (seen, unseen) =
                    weights.split_at_mut(if self.causal { row + 1 } else { length });
                let largest = max(seen);
                for weight in seen.iter_mut() {
                    *weight = exp((*weight - largest) * scale);
                }
                let total = 1.0 / sum(seen);
                for weight in seen {
                    *weight *= total;
                }
                unseen.fill(0.0);
            }
            multiply(
                &mut out[head * size..],
                d,
                (length, size, length),
                View::rows(weights, length),
                v,
            );
        }
    }

    /// The gradient of [`Heads::forward`] with respect to `qkv`, written to `d_qkv`; `scratch`
    /// holds one head's weights.
    #[inline(always)]
    pub(crate) fn backward(
        self,
        length: usize,
        (qkv, weights, out): (&[f32], &[f32], &[f32]),
        d_out: &[f32],
        d_qkv: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (d, size, scale) = (self.width, self.size(), self.scale());
        let scratch = &mut scratch[..length * length];
        for (head, weights) in weights.chunks_exact(length * length).enumerate() {
            let [q, k, v] = [0, d, 2 * d].map(|part| View::rows(&qkv[part + head * size..], 3 * d));
            let d_head = View::rows(&d_out[head * size..], d);
            multiply(scratch, length, (length, length, size), d_head, v.transposed());
            let rows = scratch.chunks_exact_mut(length).zip(weights.chunks_exact(length));
            for (row, (d_weights, weights)) in rows.enumerate() {
                let at = row * d + head * size..row * d + (head + 1) * size;
                let common = dot(&d_out[at.clone()], &out[at]);
                for (d_weight, weight) in d_weights.iter_mut().zip(weights) {
                    *d_weight = weight * (*d_weight - common) * scale;
                }
            }
            let (square, thin) = (View::rows(scratch, length), (length, size, length));
            multiply(&mut d_qkv[head * size..], 3 * d, thin, square, k);
            multiply(&mut d_qkv[d + head * size..], 3 * d, thin, square.transposed(), q);
            let weights = View::rows(weights, length).transposed();
            multiply(&mut d_qkv[2 * d + head * size..], 3 * d, thin, weights, d_head);
        }
    }
}

/// `out = x · weightᵀ + bias` over `rows` rows; `weight` is [outputs, inputs].
#[inline(always)]
pub(crate) fn linear(x: &[f32], (weight, bias): (&[f32], &[f32]), rows: usize, out: &mut [f32]) {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    for row in out.chunks_exact_mut(outputs) {
        row.copy_from_slice(bias);
    }
    let weight = View::rows(weight, inputs).transposed();
    multiply_add(out, outputs, (rows, outputs, inputs), View::rows(x, inputs), weight);
}

/// The gradients of [`linear`]: `dx` is overwritten; `learns`, the gradients of weight and bias,
/// are added to.
#[inline(always)]
pub(crate) fn linear_backward(
    (x, dy): (&[f32], &[f32]),
    weight: &[f32],
    (rows, outputs): (usize, usize),
    dx: &mut [f32],
    learns: Option<(&mut [f32], &mut [f32])>,
) {
    let inputs = weight.len() / outputs;
    let gradient = View::rows(dy, outputs);
    multiply(dx, inputs, (rows, inputs, outputs), gradient, View::rows(weight, inputs));
    if let Some((d_weight, d_bias)) = learns {
        let shape = (outputs, inputs, rows);
        multiply_add(d_weight, inputs, shape, gradient.transposed(), View::rows(x, inputs));
        for dy in dy.chunks_exact(outputs) {
            super::norm::add(d_bias, dy);
        }
    }
}
