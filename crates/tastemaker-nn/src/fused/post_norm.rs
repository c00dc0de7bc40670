//! A post-norm transformer block that answers and does not learn.

use rayon::prelude::*;

use super::Norm;
use super::attention::{Bias, Heads};
use super::lanes::{Chunk, Lanes};
use super::linear::{Pass, linear};
use super::matrix::{Panels, Precision};
use super::norm::{self, Norms};
use super::scratch::Scratch;
use super::simd::{gelu, vectorised};

/// The numbers that fix the weights of a [`PostNormBlock`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PostNormShape {
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub inner: usize,
    /// What its norms add to the variance.
    pub epsilon: f32,
}

/// The weights of a [`PostNormBlock`]: matrices are [outputs, inputs] in rows, each with its bias.
#[derive(Clone, Debug, Default)]
pub struct PostNormWeights {
    /// Queries, keys and values, one after the other: [3 width, width].
    pub qkv: (Vec<f32>, Vec<f32>),
    /// Out of attention: [width, width].
    pub out: (Vec<f32>, Vec<f32>),
    /// Scale and shift of the norm after attention.
    pub attention_norm: (Vec<f32>, Vec<f32>),
    /// Into the feed-forward layer: [inner, width].
    pub into: (Vec<f32>, Vec<f32>),
    /// Out of it: [width, inner].
    pub out_of: (Vec<f32>, Vec<f32>),
    /// Scale and shift of the norm after it.
    pub feed_forward_norm: (Vec<f32>, Vec<f32>),
}

/// A bidirectional transformer block as it was first (Vaswani et al. 2017; BERT, Devlin et al.
/// 2019), whose norms stand after the sums:
///
/// `m = norm(x + W_o attention(W_qkv x))`, `y = norm(m + W_2 gelu(W_1 m))`.
#[derive(Debug)]
pub struct PostNormBlock {
    shape: PostNormShape,
    /// As [`PostNormWeights`] has them.
    matrices: [(Panels, Vec<f32>); 4],
    norms: [(Vec<f32>, Vec<f32>); 2],
}

impl PostNormBlock {
    /// A block of these weights, whose factors are rounded to `precision`.
    pub fn new(shape: PostNormShape, weights: PostNormWeights, precision: Precision) -> Self {
        let PostNormWeights { qkv, out, attention_norm, into, out_of, feed_forward_norm } = weights;
        let matrices = [qkv, out, into, out_of];
        let pack = |(weight, bias): (Vec<f32>, Vec<f32>)| {
            (Pass::Forward.pack(precision, &weight, bias.len()), bias)
        };
        Self { shape, matrices: matrices.map(pack), norms: [attention_norm, feed_forward_norm] }
    }

    fn linear(&self, i: usize) -> (&Panels, &[f32]) {
        (&self.matrices[i].0, &self.matrices[i].1)
    }

    fn norms(&self, i: usize) -> Norms<'_> {
        let (weight, bias) = &self.norms[i];
        Norms { norm: Norm::Layer, epsilon: self.shape.epsilon, weight, bias }
    }

    /// What the block makes of a few sequences, in the place of their rows `x`.
    #[inline(always)]
    fn forward(&self, lengths: &[usize], x: &mut [f32], room: &mut Room) {
        let PostNormShape { width, heads, .. } = self.shape;
        let rows = x.len() / width;
        let Room { wide, attended, weights, stats } = room;
        let qkv = &mut wide[..rows * 3 * width];
        linear(x, self.linear(0), rows, qkv);
        let precision = self.matrices[0].0.precision();
        let heads = Heads { width, stride: 3 * width, count: heads, causal: false, precision };
        let (mut start, nothing) =
            (0, Bias { mask: None, distances: &[], buckets: &[], intervals: &[] });
        for &length in lengths {
            let qkv = &qkv[start * 3 * width..][..length * 3 * width];
            let out = &mut attended[start * width..][..length * width];
            let weights = &mut weights[..heads.count * length * length];
            heads.forward(length, qkv, nothing, weights, out);
            start += length;
        }
        let sum = &mut wide[..rows * width];
        linear(attended, self.linear(1), rows, sum);
        norm::add(sum, x);
        self.norms(0).apply(sum, x, stats);
        let active = &mut wide[..rows * self.shape.inner];
        linear(x, self.linear(2), rows, active);
        for active in active.iter_mut() {
            *active = gelu(*active).0;
        }
        linear(active, self.linear(3), rows, attended);
        norm::add(attended, x);
        self.norms(1).apply(attended, x, stats);
    }
}

vectorised! {
    fn forward<'a>(
        block: &'a PostNormBlock,
        lengths: &'a [usize],
        x: &'a mut [f32],
        room: &'a mut Room,
    ) -> () = PostNormBlock::forward;
}

/// What a pass over a chunk needs beside its rows.
struct Room {
    /// Queries, keys and values; then what attention adds; then the active values.
    wide: Scratch,
    attended: Scratch,
    /// What each token of a sequence looks at: [heads, length, length].
    weights: Scratch,
    stats: Vec<[f32; 2]>,
}

impl Room {
    fn new(shape: PostNormShape, lengths: &[usize], rows: usize) -> Self {
        let PostNormShape { width, heads, inner, .. } = shape;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        Self {
            wide: Scratch::new(rows * inner.max(3 * width)),
            attended: Scratch::new(rows * width),
            weights: Scratch::new(heads * longest * longest),
            stats: vec![[0.0; 2]; rows],
        }
    }
}

/// What `blocks` of one shape make, one after the other, of the packed rows `x` [tokens, width], in
/// their place: a few sequences at a time go through all of them, so that their rows stay in the
/// cache.
pub fn post_norm_blocks(blocks: &[PostNormBlock], lanes: &Lanes, x: &mut [f32]) {
    let Some(PostNormBlock { shape, .. }) = blocks.first() else { return };
    let width = shape.width;
    let pieces = lanes.lanes().par_iter().zip(lanes.split_mut(x, width));
    pieces.for_each(|(chunks, mut x)| {
        for Chunk { sequences, tokens } in chunks {
            let (piece, rest) = x.split_at_mut(tokens.len() * width);
            x = rest;
            let lengths = &lanes.lengths()[sequences.clone()];
            let mut room = Room::new(*shape, lengths, tokens.len());
            for block in blocks {
                forward(block, lengths, piece, &mut room);
            }
        }
    });
}
