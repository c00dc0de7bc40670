//! Attention by silu instead of softmax (Zhai et al. 2024, HSTU) over one sequence.

use super::{Bias, BiasGradient, Heads};
use crate::fused::matrix::{Part, View};
use crate::fused::simd::exp;

/// Below this a score is nothing; those that a mask hides are.
const NOTHING: f32 = -87.0;

/// silu(`score`) and its derivative.
#[inline(always)]
fn silu(score: f32) -> (f32, f32) {
    let sigmoid = if score < NOTHING { 0.0 } else { 1.0 / (1.0 + exp(-score)) };
    (score * sigmoid, sigmoid * (1.0 + score * (1.0 - sigmoid)))
}

impl Heads {
    /// Attention of a sequence of `length` tokens: `rows` [length, stride] → `out`
    /// [length, width], Σⱼ silu(qᵢ·kⱼ + bias) vⱼ / `longest`. Scores go to `scores`
    /// [heads, length, length]; `scratch` holds one head's weights.
    #[inline(always)]
    pub(crate) fn silu_forward(
        self,
        (length, longest): (usize, usize),
        rows: &[f32],
        bias: Bias<'_>,
        (scores, scratch): (&mut [f32], &mut [f32]),
        out: &mut [f32],
    ) {
        let (d, size, precision) = (self.width, self.size(), self.precision);
        let (scratch, share) = (&mut scratch[..length * length], 1.0 / longest as f32);
        for (head, scores) in scores.chunks_exact_mut(length * length).enumerate() {
            let [q, k, v] = self.views(rows, head);
            let (square, thin) = ((length, length, size), (length, size, length));
            let part = self.part(Part::LowerProduct);
            precision.multiply(part, (scores, length), square, q, k.transposed());
            let each = scores.chunks_exact_mut(length).zip(scratch.chunks_exact_mut(length));
            for (row, (scores, weights)) in each.enumerate() {
                let n = self.sees(row, length);
                self.add_bias((head, row, length), bias, 1.0, &mut scores[..n]);
                for (weight, score) in weights[..n].iter_mut().zip(&*scores) {
                    *weight = silu(*score).0 * share;
                }
                weights[n..].fill(0.0);
            }
            let (part, weights) = (self.part(Part::LowerFactor), View::rows(scratch, length));
            precision.multiply(part, (&mut out[head * size..], d), thin, weights, v);
        }
    }

    /// The gradient of [`Heads::silu_forward`] with respect to the queries, keys and values in
    /// `rows`, written to `d_rows`, and those of what is added to scores; `scratch` holds one
    /// head's weights and their gradients.
    #[inline(always)]
    pub(crate) fn silu_backward(
        self,
        (length, longest): (usize, usize),
        (rows, scores): (&[f32], &[f32]),
        d_out: &[f32],
        (d_rows, d_bias): (&mut [f32], &mut BiasGradient<'_>),
        scratch: &mut [f32],
    ) {
        let (d, size, precision) = (self.width, self.size(), self.precision);
        let share = 1.0 / longest as f32;
        let (weights, rest) = scratch.split_at_mut(length * length);
        let d_scores = &mut rest[..length * length];
        for (head, scores) in scores.chunks_exact(length * length).enumerate() {
            let [q, k, v] = self.views(rows, head);
            let d_head = View::rows(&d_out[head * size..], d);
            let (square, thin) = ((length, length, size), (length, size, length));
            let part = self.part(Part::LowerProduct);
            precision.multiply(part, (d_scores, length), square, d_head, v.transposed());
            let each = d_scores.chunks_exact_mut(length).zip(weights.chunks_exact_mut(length));
            for (row, ((d_scores, weights), scores)) in
                each.zip(scores.chunks_exact(length)).enumerate()
            {
                let n = self.sees(row, length);
                let each = d_scores[..n].iter_mut().zip(&mut weights[..n]).zip(scores);
                for ((d_score, weight), score) in each {
                    let (value, slope) = silu(*score);
                    *weight = value * share;
                    *d_score *= slope * share;
                }
                self.add_bias_backward((head, row, length), &d_scores[..n], 1.0, d_bias);
                d_scores[n..].fill(0.0);
                weights[n..].fill(0.0);
            }
            let (lower, upper) = (self.part(Part::LowerFactor), self.part(Part::UpperFactor));
            let d_scores = View::rows(d_scores, length);
            let weights = View::rows(weights, length).transposed();
            let d_q = &mut d_rows[head * size..];
            precision.multiply(lower, (d_q, self.stride), thin, d_scores, k);
            let d_k = &mut d_rows[d + head * size..];
            precision.multiply(upper, (d_k, self.stride), thin, d_scores.transposed(), q);
            let d_v = &mut d_rows[2 * d + head * size..];
            precision.multiply(upper, (d_v, self.stride), thin, weights, d_head);
        }
    }
}
