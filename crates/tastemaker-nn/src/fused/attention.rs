//! Scaled dot-product attention (Vaswani et al. 2017) over one sequence.

mod silu;

use super::INTERVALS;
use super::matrix::{Part, Precision, View};
use super::simd::{dot, exp, max, sum};

/// How attention is divided, over queries, keys and values that stand, in this order, in rows of
/// `stride` numbers.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    /// Numbers of all heads together.
    pub(crate) width: usize,
    pub(crate) stride: usize,
    pub(crate) count: usize,
    pub(crate) causal: bool,
    pub(crate) precision: Precision,
}

/// What is added to the scores of a sequence, and what is hidden.
#[derive(Clone, Copy)]
pub(crate) struct Bias<'a> {
    /// [length, length]: what each token sees; all, if absent.
    pub(crate) mask: Option<&'a [bool]>,
    /// [heads, distances] as [`super::relative::spread`] has them, or nothing.
    pub(crate) distances: &'a [f32],
    /// [length, length]: the bucket of the time between two tokens, or nothing.
    pub(crate) buckets: &'a [u8],
    /// [heads, buckets]: what is added for each, or nothing.
    pub(crate) intervals: &'a [f32],
}

/// The gradients of what is added to scores, which are added to; nothing where none is wanted.
pub(crate) struct BiasGradient<'a> {
    /// Of [`Bias::distances`].
    pub(crate) distances: &'a mut [f32],
    /// Those of [`Bias::buckets`].
    pub(crate) buckets: &'a [u8],
    /// Of [`Bias::intervals`].
    pub(crate) intervals: &'a mut [f32],
}

impl Heads {
    pub(super) fn size(self) -> usize {
        self.width / self.count
    }

    pub(super) fn scale(self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// `part` if there is a triangle to make use of.
    fn part(self, part: Part) -> Part {
        if self.causal { part } else { Part::Whole }
    }

    /// How many tokens the token at `row` of `length` sees, before a mask hides some.
    fn sees(self, row: usize, length: usize) -> usize {
        if self.causal { row + 1 } else { length }
    }

    /// Where among `distances` those of the token at `row` begin, the first token's first.
    fn at(self, distances: &[f32], head: usize, row: usize) -> usize {
        let a_head = distances.len() / self.count;
        // There are 2 longest − 1 of them, and the middle one is that of a token and itself.
        if a_head == 0 { 0 } else { head * a_head + a_head / 2 - row }
    }

    /// Of `distances` those of the token at `row`, the first token's first; none if there are none.
    fn distances(self, distances: &[f32], head: usize, row: usize) -> &[f32] {
        &distances[self.at(distances, head, row)..]
    }

    /// Adds to the scores `seen` of the token at `row`, which are still to be multiplied with
    /// `scale`, what there is to add; what is hidden falls far below.
    #[inline(always)]
    pub(super) fn add_bias(
        self,
        (head, row, length): (usize, usize, usize),
        bias: Bias<'_>,
        scale: f32,
        seen: &mut [f32],
    ) {
        for (score, added) in seen.iter_mut().zip(self.distances(bias.distances, head, row)) {
            *score += added / scale;
        }
        if !bias.intervals.is_empty() {
            let table = &bias.intervals[head * INTERVALS..][..INTERVALS];
            for (score, &bucket) in seen.iter_mut().zip(&bias.buckets[row * length..]) {
                *score += table[usize::from(bucket)] / scale;
            }
        }
        if let Some(mask) = bias.mask {
            for (score, sees) in seen.iter_mut().zip(&mask[row * length..]) {
                // Far enough below for a weight of 0, near enough to stay a number.
                *score = if *sees { *score } else { -1e30 };
            }
        }
    }

    /// The gradients of what [`Heads::add_bias`] adds, from those of the scores.
    #[inline(always)]
    fn add_bias_backward(
        self,
        (head, row, length): (usize, usize, usize),
        d_scores: &[f32],
        scale: f32,
        d_bias: &mut BiasGradient<'_>,
    ) {
        let at = self.at(&*d_bias.distances, head, row);
        for (sum, d_score) in d_bias.distances[at..].iter_mut().zip(d_scores) {
            *sum += d_score / scale;
        }
        if !d_bias.intervals.is_empty() {
            let table = &mut d_bias.intervals[head * INTERVALS..][..INTERVALS];
            for (d_score, &bucket) in d_scores.iter().zip(&d_bias.buckets[row * length..]) {
                table[usize::from(bucket)] += d_score / scale;
            }
        }
    }

    /// The queries, keys and values of a head in the rows of a sequence.
    #[inline(always)]
    fn views(self, rows: &[f32], head: usize) -> [View<'_>; 3] {
        let at = |part: usize| part * self.width + head * self.size();
        [0, 1, 2].map(|part| View::rows(&rows[at(part)..], self.stride))
    }

    /// Attention of a sequence of `length` tokens: `qkv` [length, stride] → `out`
    /// [length, width]; what each token looks at goes to `weights` [heads, length, length].
    #[inline(always)]
    pub(crate) fn forward(
        self,
        length: usize,
        qkv: &[f32],
        bias: Bias<'_>,
        weights: &mut [f32],
        out: &mut [f32],
    ) {
        let (d, size, scale) = (self.width, self.size(), self.scale());
        let precision = self.precision;
        for (head, weights) in weights.chunks_exact_mut(length * length).enumerate() {
            let [q, k, v] = self.views(qkv, head);
            let (square, thin) = ((length, length, size), (length, size, length));
            let scores = self.part(Part::LowerProduct);
            precision.multiply(scores, (weights, length), square, q, k.transposed());
            for (row, weights) in weights.chunks_exact_mut(length).enumerate() {
                let (seen, unseen) = weights.split_at_mut(self.sees(row, length));
                self.add_bias((head, row, length), bias, scale, seen);
                softmax(seen, scale);
                unseen.fill(0.0);
            }
            let (part, weights) = (self.part(Part::LowerFactor), View::rows(weights, length));
            precision.multiply(part, (&mut out[head * size..], d), thin, weights, v);
        }
    }

    /// The gradient of [`Heads::forward`] with respect to `qkv`, written to `d_qkv`, and those of
    /// what is added to scores; `scratch` holds one head's weights.
    #[inline(always)]
    pub(crate) fn backward(
        self,
        length: usize,
        (qkv, weights, out): (&[f32], &[f32], &[f32]),
        d_out: &[f32],
        (d_qkv, d_bias): (&mut [f32], &mut BiasGradient<'_>),
        scratch: &mut [f32],
    ) {
        let (d, size, scale) = (self.width, self.size(), self.scale());
        let (scratch, precision) = (&mut scratch[..length * length], self.precision);
        for (head, weights) in weights.chunks_exact(length * length).enumerate() {
            let [q, k, v] = self.views(qkv, head);
            let d_head = View::rows(&d_out[head * size..], d);
            let (square, thin) = ((length, length, size), (length, size, length));
            let scores = self.part(Part::LowerProduct);
            precision.multiply(scores, (scratch, length), square, d_head, v.transposed());
            let rows = scratch.chunks_exact_mut(length).zip(weights.chunks_exact(length));
            for (row, (d_weights, weights)) in rows.enumerate() {
                let at = row * d + head * size..row * d + (head + 1) * size;
                let common = dot(&d_out[at.clone()], &out[at]);
                let (seen, unseen) = d_weights.split_at_mut(self.sees(row, length));
                softmax_backward(seen, weights, common, scale);
                self.add_bias_backward((head, row, length), seen, scale, d_bias);
                unseen.fill(0.0);
            }
            let (lower, upper) = (self.part(Part::LowerFactor), self.part(Part::UpperFactor));
            let d_scores = View::rows(scratch, length);
            let weights = View::rows(weights, length).transposed();
            let stride = self.stride;
            precision.multiply(lower, (&mut d_qkv[head * size..], stride), thin, d_scores, k);
            let d_k = &mut d_qkv[d + head * size..];
            precision.multiply(upper, (d_k, stride), thin, d_scores.transposed(), q);
            let d_v = &mut d_qkv[2 * d + head * size..];
            precision.multiply(upper, (d_v, stride), thin, weights, d_head);
        }
    }
}

/// Softmax of `scale` times the scores, in their place.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32], scale: f32) {
    let largest = max(scores);
    for weight in scores.iter_mut() {
        // `exp` does not go below e^-87, the mask does.
        let power = (*weight - largest) * scale;
        *weight = if power < -87.0 { 0.0 } else { exp(power) };
    }
    let total = 1.0 / sum(scores);
    for weight in scores {
        *weight *= total;
    }
}

/// The gradient of [`softmax`], from that of its `weights`, in its place; `common` is the product of
/// both, added up.
#[inline(always)]
pub(super) fn softmax_backward(gradient: &mut [f32], weights: &[f32], common: f32, scale: f32) {
    for (gradient, weight) in gradient.iter_mut().zip(weights) {
        *gradient = weight * (*gradient - common) * scale;
    }
}
