//! Scaled dot-product attention (Vaswani et al. 2017) over one sequence.

use super::matrix::{Panels, Part, View, multiply_add, multiply_packed, multiply_part};
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

    /// `part` if there is a triangle to make use of.
    fn part(self, part: Part) -> Part {
        if self.causal { part } else { Part::Whole }
    }

    /// How many tokens the token at `row` of `length` sees.
    fn sees(self, row: usize, length: usize) -> usize {
        if self.causal { row + 1 } else { length }
    }

    /// Attention of a sequence of `length` tokens: `qkv` [length, 3 width] → `out`
    /// [length, width]; what each token looks at goes to `weights` [heads, length, length].
    #[inline(always)]
    pub(crate) fn forward(self, length: usize, qkv: &[f32], weights: &mut [f32], out: &mut [f32]) {
        let (d, size, scale) = (self.width, self.size(), self.scale());
        for (head, weights) in weights.chunks_exact_mut(length * length).enumerate() {
            let [q, k, v] = [0, d, 2 * d].map(|part| View::rows(&qkv[part + head * size..], 3 * d));
            let (square, thin) = ((length, length, size), (length, size, length));
            let scores = self.part(Part::LowerProduct);
            multiply_part(scores, weights, length, square, q, k.transposed());
            for (row, weights) in weights.chunks_exact_mut(length).enumerate() {
                let (seen, unseen) = weights.split_at_mut(self.sees(row, length));
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
            let (part, weights) = (self.part(Part::LowerFactor), View::rows(weights, length));
            multiply_part(part, &mut out[head * size..], d, thin, weights, v);
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
            let (square, thin) = ((length, length, size), (length, size, length));
            let scores = self.part(Part::LowerProduct);
            multiply_part(scores, scratch, length, square, d_head, v.transposed());
            let rows = scratch.chunks_exact_mut(length).zip(weights.chunks_exact(length));
            for (row, (d_weights, weights)) in rows.enumerate() {
                let at = row * d + head * size..row * d + (head + 1) * size;
                let common = dot(&d_out[at.clone()], &out[at]);
                let (seen, unseen) = d_weights.split_at_mut(self.sees(row, length));
                for (d_weight, weight) in seen.iter_mut().zip(weights) {
                    *d_weight = weight * (*d_weight - common) * scale;
                }
                unseen.fill(0.0);
            }
            let (lower, upper) = (self.part(Part::LowerFactor), self.part(Part::UpperFactor));
            let d_scores = View::rows(scratch, length);
            let weights = View::rows(weights, length).transposed();
            multiply_part(lower, &mut d_qkv[head * size..], 3 * d, thin, d_scores, k);
            let d_k = &mut d_qkv[d + head * size..];
            multiply_part(upper, d_k, 3 * d, thin, d_scores.transposed(), q);
            let d_v = &mut d_qkv[2 * d + head * size..];
            multiply_part(upper, d_v, 3 * d, thin, weights, d_head);
        }
    }
}

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
    pub(crate) fn pack(self, weight: &[f32], outputs: usize) -> Panels {
        let inputs = weight.len() / outputs;
        let weight = View::rows(weight, inputs);
        match self {
            Self::Forward => Panels::new(weight.transposed(), (inputs, outputs)),
            Self::Backward => Panels::new(weight, (outputs, inputs)),
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
/// `learns`, the gradients of weight and bias, are added to.
#[inline(always)]
pub(crate) fn linear_backward(
    (x, dy): (&[f32], &[f32]),
    weight: &Panels,
    (rows, outputs): (usize, usize),
    dx: &mut [f32],
    learns: Option<(&mut [f32], &mut [f32])>,
) {
    let inputs = x.len() / rows;
    let gradient = View::rows(dy, outputs);
    multiply_packed((dx, inputs, false), rows, gradient, weight);
    if let Some((d_weight, d_bias)) = learns {
        let shape = (outputs, inputs, rows);
        multiply_add(d_weight, inputs, shape, gradient.transposed(), View::rows(x, inputs));
        for dy in dy.chunks_exact(outputs) {
            super::norm::add(d_bias, dy);
        }
    }
}
