//! A whole transformer block as one operation.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::attention::{Heads, Pass, linear, linear_backward};
use super::lanes::{Chunk, Lanes};
use super::matrix::Panels;
use super::scratch::Scratch;
use super::simd::{Dropout, gelu, simd};
use super::{norm, slice, tensor_like, with_slice};

/// The numbers that fix a block's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockShape {
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub inner: usize,
    /// Whether a token sees only itself and what came before it.
    pub causal: bool,
}

impl BlockShape {
    /// The block's parameters, in the order in which they are packed, with their dimensions.
    /// A linear layer's weight is [outputs, inputs].
    pub fn parameters(self) -> [(&'static str, Vec<usize>); 12] {
        let Self { width: d, inner, .. } = self;
        [
            ("attention-norm.weight", vec![d]),
            ("attention-norm.bias", vec![d]),
            ("attention.qkv.weight", vec![3 * d, d]),
            ("attention.qkv.bias", vec![3 * d]),
            ("attention.out.weight", vec![d, d]),
            ("attention.out.bias", vec![d]),
            ("feed-forward-norm.weight", vec![d]),
            ("feed-forward-norm.bias", vec![d]),
            ("feed-forward.in.weight", vec![inner, d]),
            ("feed-forward.in.bias", vec![inner]),
            ("feed-forward.out.weight", vec![d, inner]),
            ("feed-forward.out.bias", vec![d]),
        ]
    }

    /// Where each parameter stands in the packed weights.
    fn ranges(self) -> [Range<usize>; 12] {
        let mut start = 0;
        self.parameters().map(|(_, dimensions)| {
            let range = start..start + dimensions.iter().product::<usize>();
            start = range.end;
            range
        })
    }

    fn n_parameters(self) -> usize {
        self.ranges()[11].end
    }

    fn heads(self) -> Heads {
        Heads { width: self.width, count: self.heads, causal: self.causal }
    }
}

/// A pre-norm transformer block over packed sequences:
///
/// `m = x + dropout(W_o attention(W_qkv norm(x)))`,
/// `y = m + dropout(W_2 gelu(W_1 norm(m)))`,
///
/// as an operation on `x` [tokens, width] and the packed weights. The forward pass keeps what
/// the backward pass needs, so the operation is used once.
pub struct Block {
    shape: BlockShape,
    lanes: Arc<Lanes>,
    dropout: Dropout,
    kept: Mutex<Vec<Vec<Kept>>>,
}

/// What the backward pass needs of a chunk's forward pass.
struct Kept {
    attention_stats: Vec<[f32; 2]>,
    attention_normal: Scratch,
    qkv: Scratch,
    weights: Scratch,
    attended: Scratch,
    middle: Scratch,
    forward_stats: Vec<[f32; 2]>,
    forward_normal: Scratch,
    active: Scratch,
    slope: Scratch,
}

/// A block's weights and, packed for one pass, its four matrices: of the queries, keys and values,
/// of attention's output, into and out of the feed-forward layer.
struct Weights<'a> {
    part: [&'a [f32]; 12],
    matrices: [Panels; 4],
}

impl<'a> Weights<'a> {
    fn new(shape: BlockShape, weights: &'a [f32], pass: Pass) -> Self {
        let part = shape.ranges().map(|range| &weights[range]);
        let mut matrices: [Panels; 4] = Default::default();
        matrices.par_iter_mut().enumerate().for_each(|(i, panels)| {
            let [weight, bias] = [part[MATRICES[i]], part[MATRICES[i] + 1]];
            *panels = pass.pack(weight, bias.len());
        });
        Self { part, matrices }
    }

    /// The `i`-th matrix and its bias.
    #[inline(always)]
    fn linear(&self, i: usize) -> (&Panels, &'a [f32]) {
        (&self.matrices[i], self.part[MATRICES[i] + 1])
    }
}

/// Where the matrices stand among a block's parameters; their biases follow them.
const MATRICES: [usize; 4] = [2, 4, 8, 10];

impl Block {
    /// A block over the sequences of `lanes`; `dropout` is this block's own.
    pub fn new(shape: BlockShape, lanes: Arc<Lanes>, dropout: Dropout) -> Self {
        Self { shape, lanes, dropout, kept: Mutex::default() }
    }

    fn check(&self, x: &[f32], weights: &[f32]) -> Result<()> {
        let (tokens, n) = (self.lanes.n_tokens(), self.shape.n_parameters());
        if x.len() != tokens * self.shape.width || weights.len() != n {
            bail!(
                "a block of {} tokens × {} and {n} weights got {} and {} numbers",
                tokens,
                self.shape.width,
                x.len(),
                weights.len()
            );
        }
        Ok(())
    }

    /// The forward pass; `keep` what the backward pass needs.
    pub(crate) fn run(&self, x: &[f32], weights: &[f32], keep: bool) -> Result<Vec<f32>> {
        self.check(x, weights)?;
        let d = self.shape.width;
        let weights = Weights::new(self.shape, weights, Pass::Forward);
        let mut y = vec![0.0; x.len()];
        let lanes = self.lanes.lanes().par_iter().zip(self.lanes.split_mut(&mut y, d));
        let kept: Vec<Vec<Kept>> = lanes
            .map(|(chunks, mut y)| {
                let mut all = Vec::with_capacity(if keep { chunks.len() } else { 0 });
                for chunk in chunks {
                    let (piece, rest) = y.split_at_mut(chunk.tokens.len() * d);
                    y = rest;
                    let x = &x[chunk.tokens.start * d..chunk.tokens.end * d];
                    let mut kept = self.room(chunk);
                    simd(Self::forward, (self, &weights, chunk, x, piece, &mut kept));
                    if keep {
                        all.push(kept);
                    }
                }
                all
            })
            .collect();
        if keep {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(y)
    }

    fn room(&self, chunk: &Chunk) -> Kept {
        let (d, inner, t) = (self.shape.width, self.shape.inner, chunk.tokens.len());
        Kept {
            attention_stats: vec![[0.0; 2]; t],
            attention_normal: Scratch::new(t * d),
            qkv: Scratch::new(t * 3 * d),
            weights: Scratch::new(self.attention_size(chunk)),
            attended: Scratch::new(t * d),
            middle: Scratch::new(t * d),
            forward_stats: vec![[0.0; 2]; t],
            forward_normal: Scratch::new(t * d),
            active: Scratch::new(t * inner),
            slope: Scratch::new(t * inner),
        }
    }

    #[inline(always)]
    fn forward(
        &self,
        weights: &Weights<'_>,
        chunk: &Chunk,
        x: &[f32],
        y: &mut [f32],
        kept: &mut Kept,
    ) {
        let (d, t, part) = (self.shape.width, chunk.tokens.len(), weights.part);
        norm::forward(x, part[0], part[1], &mut kept.attention_normal, &mut kept.attention_stats);
        linear(&kept.attention_normal, weights.linear(0), t, &mut kept.qkv);
        self.for_each_sequence(chunk, |length, tokens, scores| {
            self.shape.heads().forward(
                length,
                &kept.qkv[tokens.start * 3 * d..tokens.end * 3 * d],
                &mut kept.weights[scores],
                &mut kept.attended[tokens.start * d..tokens.end * d],
            );
        });
        linear(&kept.attended, weights.linear(1), t, &mut kept.middle);
        self.drop_and_add(0, chunk, &mut kept.middle, x);
        norm::forward(
            &kept.middle,
            part[6],
            part[7],
            &mut kept.forward_normal,
            &mut kept.forward_stats,
        );
        linear(&kept.forward_normal, weights.linear(2), t, &mut kept.active);
        for (active, slope) in kept.active.iter_mut().zip(kept.slope.iter_mut()) {
            (*active, *slope) = gelu(*active);
        }
        linear(&kept.active, weights.linear(3), t, y);
        self.drop_and_add(1, chunk, y, &kept.middle);
    }

    /// `dx = dy` carried back through the chunk; `learns`, the packed weights' gradient, is added to.
    #[inline(always)]
    fn backward(
        &self,
        weights: &Weights<'_>,
        (chunk, kept): (&Chunk, &Kept),
        (x, dy): (&[f32], &[f32]),
        dx: &mut [f32],
        mut learns: Option<&mut [f32]>,
    ) {
        let (d, inner, t) = (self.shape.width, self.shape.inner, chunk.tokens.len());
        let ranges = self.shape.ranges();
        let part = weights.part;
        let mut wide = Scratch::new(t * inner.max(3 * d));
        let [mut narrow, mut after] = [Scratch::new(t * d), Scratch::new(t * d)];

        // y = middle + dropout(W_2 active)
        dx.copy_from_slice(dy);
        after.copy_from_slice(dy);
        self.drop(1, chunk, &mut after);
        let d_inner = &mut wide[..t * inner];
        linear_backward(
            (&kept.active, &after),
            &weights.matrices[3],
            (t, d),
            d_inner,
            pair(&mut learns, &ranges, 10),
        );
        for (gradient, slope) in d_inner.iter_mut().zip(kept.slope.iter()) {
            *gradient *= slope;
        }
        linear_backward(
            (&kept.forward_normal, d_inner),
            &weights.matrices[2],
            (t, inner),
            &mut narrow,
            pair(&mut learns, &ranges, 8),
        );
        norm::backward(
            (&kept.middle, &kept.forward_stats),
            part[6],
            &narrow,
            dx,
            pair(&mut learns, &ranges, 6),
        );

        // middle = x + dropout(W_o attended)
        after.copy_from_slice(dx);
        self.drop(0, chunk, &mut after);
        linear_backward(
            (&kept.attended, &after),
            &weights.matrices[1],
            (t, d),
            &mut narrow,
            pair(&mut learns, &ranges, 4),
        );
        let d_qkv = &mut wide[..t * 3 * d];
        let mut scratch = Scratch::new(self.longest(chunk).pow(2));
        self.for_each_sequence(chunk, |length, tokens, scores| {
            let (one, three) =
                (tokens.start * d..tokens.end * d, tokens.start * 3 * d..tokens.end * 3 * d);
            let forward =
                (&kept.qkv[three.clone()], &kept.weights[scores], &kept.attended[one.clone()]);
            self.shape.heads().backward(
                length,
                forward,
                &narrow[one],
                &mut d_qkv[three],
                &mut scratch,
            );
        });
        linear_backward(
            (&kept.attention_normal, d_qkv),
            &weights.matrices[0],
            (t, 3 * d),
            &mut after,
            pair(&mut learns, &ranges, 2),
        );
        norm::backward(
            (x, &kept.attention_stats),
            part[0],
            &after,
            dx,
            pair(&mut learns, &ranges, 0),
        );
    }

    /// Calls `f` with every sequence's length, its tokens and its attention weights in the chunk.
    #[inline(always)]
    fn for_each_sequence(
        &self,
        chunk: &Chunk,
        mut f: impl FnMut(usize, Range<usize>, Range<usize>),
    ) {
        let (mut token, mut score) = (0, 0);
        for &length in &self.lanes.lengths()[chunk.sequences.clone()] {
            let scores = self.shape.heads * length * length;
            f(length, token..token + length, score..score + scores);
            token += length;
            score += scores;
        }
    }

    fn attention_size(&self, chunk: &Chunk) -> usize {
        let lengths = &self.lanes.lengths()[chunk.sequences.clone()];
        lengths.iter().map(|length| self.shape.heads * length * length).sum()
    }

    fn longest(&self, chunk: &Chunk) -> usize {
        self.lanes.lengths()[chunk.sequences.clone()].iter().copied().max().unwrap_or(0)
    }

    /// `values = residual + dropout(values)`.
    #[inline(always)]
    fn drop_and_add(&self, site: u32, chunk: &Chunk, values: &mut [f32], residual: &[f32]) {
        self.drop(site, chunk, values);
        norm::add(values, residual);
    }

    #[inline(always)]
    fn drop(&self, site: u32, chunk: &Chunk, values: &mut [f32]) {
        drop_at(self.dropout.at(site), chunk.tokens.start * self.shape.width, values);
    }

    /// The gradients of `x` and, if they learn, of the packed weights.
    fn gradients(
        &self,
        (x, weights): (&[f32], &[f32]),
        dy: &[f32],
        learns: bool,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        if kept.len() != self.lanes.lanes().len() {
            bail!("a block's backward pass follows one forward pass");
        }
        let (d, n_weights) = (self.shape.width, weights.len());
        let weights = Weights::new(self.shape, weights, Pass::Backward);
        let mut dx = vec![0.0; x.len()];
        let lanes = self.lanes.lanes().par_iter().zip(self.lanes.split_mut(&mut dx, d)).zip(kept);
        let partial: Vec<Option<Scratch>> = lanes
            .map(|((chunks, mut dx), kept)| {
                let mut sum = learns.then(|| Scratch::zeros(n_weights));
                for (chunk, kept) in chunks.iter().zip(&kept) {
                    let (piece, rest) = dx.split_at_mut(chunk.tokens.len() * d);
                    dx = rest;
                    let at = chunk.tokens.start * d..chunk.tokens.end * d;
                    let rows = (&x[at.clone()], &dy[at]);
                    let learns = sum.as_deref_mut();
                    simd(Self::backward, (self, &weights, (chunk, kept), rows, piece, learns));
                }
                sum
            })
            .collect();
        let sum = learns.then(|| add_up(&partial.into_iter().flatten().collect::<Vec<_>>()));
        Ok((dx, sum))
    }
}

/// The lanes' gradients, added in their order.
fn add_up(lanes: &[Scratch]) -> Vec<f32> {
    /// Numbers that a task adds up.
    const PIECE: usize = 1 << 13;
    let mut sum = vec![0.0; lanes[0].len()];
    sum.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sum)| {
        let numbers = piece * PIECE..piece * PIECE + sum.len();
        for lane in lanes {
            simd(norm::add, (&mut *sum, &lane[numbers.clone()]));
        }
    });
    sum
}

/// The gradients of the `weight`-th parameter and of the bias after it, if they learn.
fn pair<'a>(
    learns: &'a mut Option<&mut [f32]>,
    ranges: &[Range<usize>; 12],
    weight: usize,
) -> Option<(&'a mut [f32], &'a mut [f32])> {
    let both = learns.as_deref_mut()?;
    let both = &mut both[ranges[weight].start..ranges[weight + 1].end];
    Some(both.split_at_mut(ranges[weight].len()))
}

/// Multiplies `values`, which begin at activation `first`, with the mask of `dropout`.
#[expect(clippy::cast_possible_truncation, reason = "beyond 2^32 activations the mask repeats")]
#[inline(always)]
pub(crate) fn drop_at(dropout: Dropout, first: usize, values: &mut [f32]) {
    if !dropout.is_none() {
        let first = first as u32;
        for (i, value) in values.iter_mut().enumerate() {
            *value *= dropout.factor(first.wrapping_add(i as u32));
        }
    }
}

impl CustomOp2 for Block {
    fn name(&self) -> &'static str {
        "transformer-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = self.run(slice(x, x_layout)?, slice(weights, weights_layout)?, true)?;
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, d_weights) = with_slice(x, |x| {
            with_slice(weights, |values| {
                with_slice(gradient, |dy| self.gradients((x, values), dy, weights.track_op()))
            })
        })?;
        let d_weights = d_weights.map(|values| tensor_like(values, weights)).transpose()?;
        Ok((Some(tensor_like(dx, x)?), d_weights))
    }
}
