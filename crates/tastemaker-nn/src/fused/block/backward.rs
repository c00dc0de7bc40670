//! The backward pass of a transformer block.

use std::sync::PoisonError;

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::scales::{AFTER_NORMS, HEAD_NORMS};
use super::{Block, BlockWeights, DISTANCE, INTERVAL, Kept, MATRICES, cross, forward};
use crate::fused::attention::BiasGradient;
use crate::fused::lanes::Chunk;
use crate::fused::linear::{Pass, linear_backward};
use crate::fused::norm;
use crate::fused::relative;
use crate::fused::scratch::Scratch;
use crate::fused::simd::vectorised;
use crate::fused::style::BlockKind;

vectorised! {
    fn backward<'a>(
        block: &'a Block,
        weights: &'a BlockWeights,
        chunk: (&'a Chunk, &'a Kept),
        rows: (&'a [f32], &'a [f32], &'a [f32]),
        dx: (&'a mut [f32], bool, Option<&'a mut [f32]>),
        sum: (Option<&'a mut [f32]>, bool),
    ) -> () = Block::backward;
}

impl Block {
    /// The gradients of `x`, of an encoder's states and of the packed weights, as far as each is
    /// said to learn.
    pub(super) fn gradients(
        &self,
        ((x, memory), weights): ((&[f32], &[f32]), &[f32]),
        dy: &[f32],
        [needs_dx, needs_memory, learns]: [bool; 3],
    ) -> Result<[Option<Vec<f32>>; 3]> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        if kept.len() != self.lanes.lanes().len() {
            bail!("a block's backward pass follows one forward pass");
        }
        let d = self.shape.width;
        let again = self
            .recompute
            .then(|| BlockWeights::new(self.shape, weights, (Pass::Forward, self.precision)));
        let n_weights = weights.len();
        let weights = BlockWeights::new(self.shape, weights, (Pass::Backward, self.precision));
        let mut dx = vec![0.0; x.len()];
        let mut d_memory = vec![0.0; if needs_memory { memory.len() } else { 0 }];
        let lanes = self.lanes.lanes().par_iter().zip(self.lanes.split_mut(&mut dx, d)).zip(kept);
        let partial: Vec<Option<Scratch>> = lanes
            .zip(self.split_memory(&mut d_memory))
            .map(|(((chunks, mut dx), kept), mut d_memory)| {
                let mut sum = learns.then(|| self.room_for_gradients(n_weights));
                let mut kept = kept.into_iter();
                for (i, chunk) in chunks.iter().enumerate() {
                    let (piece, rest) = dx.split_at_mut(chunk.tokens.len() * d);
                    dx = rest;
                    let (of_memory, rest) = self.split_of_chunk(chunk, d_memory);
                    d_memory = rest;
                    let at = chunk.tokens.start * d..chunk.tokens.end * d;
                    let (x, dy) = (&x[at.clone()], &dy[at]);
                    let kept = kept.next().unwrap_or_else(|| {
                        let mut kept = self.room(chunk);
                        if let Some(again) = &again {
                            forward(self, again, chunk, (x, memory), &mut *piece, &mut kept);
                        }
                        kept
                    });
                    let of_memory = needs_memory.then_some(of_memory);
                    let (into, sum) = ((piece, needs_dx, of_memory), (sum.as_deref_mut(), i > 0));
                    backward(self, &weights, (chunk, &kept), (x, memory, dy), into, sum);
                }
                sum
            })
            .collect();
        let sum = learns.then(|| add_up(&partial.into_iter().flatten().collect::<Vec<_>>()));
        Ok([needs_dx.then_some(dx), needs_memory.then_some(d_memory), sum])
    }

    /// Room for the gradients of the packed weights: zeros, but where a matrix learns, whose
    /// gradient the first chunk overwrites.
    fn room_for_gradients(&self, n_weights: usize) -> Scratch {
        let mut sum = Scratch::new(n_weights);
        for (i, range) in self.shape.ranges().into_iter().enumerate() {
            if !(MATRICES.contains(&i) && self.learns[i]) {
                sum[range].fill(0.0);
            }
        }
        sum
    }

    /// `dx = dy` carried back through the chunk; `sum`, the packed weights' gradient, is added to
    /// where they learn, or, where it is a matrix's and this is not to `add`, overwritten. Goes no
    /// further down than something learns: `needs_dx` says whether anything below the block does.
    /// The gradient of an encoder's states is written to `d_memory`, if that is there.
    #[inline(always)]
    fn backward(
        &self,
        weights: &BlockWeights,
        (chunk, kept): (&Chunk, &Kept),
        (x, memory, dy): (&[f32], &[f32], &[f32]),
        (dx, needs_dx, d_memory): (&mut [f32], bool, Option<&mut [f32]>),
        (mut sum, add): (Option<&mut [f32]>, bool),
    ) {
        if !self.shape.style.kind.has_feed_forward() {
            return self.hstu_backward(weights, (chunk, kept), (x, dy), (dx, needs_dx), (sum, add));
        }
        let (d, inner, t) = (self.shape.width, self.shape.inner, chunk.tokens.len());
        let into = self.shape.into();
        // What is added to scores, and the norms of queries and keys, stand last, but come in above
        // the queries and keys, and so does the norm of what attention adds, above attention.
        let above = [DISTANCE, INTERVAL, HEAD_NORMS[0], HEAD_NORMS[1]];
        let added = |i: usize| {
            (i > 2 && above.iter().any(|&above| self.learns[above]))
                || (i >= 6 && self.learns[AFTER_NORMS[0]])
        };
        // What is of the half that reads an encoder's states stands last too, and comes in below
        // the feed-forward half.
        let crosses = kept.crossed.is_some()
            && (d_memory.is_some() || self.learns[cross::PARAMETERS].contains(&true));
        let below = |i: usize| needs_dx || added(i) || self.learns[..i].contains(&true);
        let learns_below = |i: usize| below(i) || (crosses && i >= 6);
        let part = &weights.part;
        let attended = self.shape.attended();
        let mut wide = Scratch::new(t * into.max(3 * attended));
        let gated = self.shape.style.feed_forward.is_gated();
        let mut of_active = Scratch::new(if gated { t * inner } else { 0 });
        let [mut narrow, mut after] = [Scratch::new(t * attended.max(d)), Scratch::new(t * d)];

        // y = middle + dropout(W_2 active)
        dx.copy_from_slice(dy);
        after.copy_from_slice(dy);
        self.drop(1, chunk, &mut after);
        self.scale_found_backward(1, weights, kept, (&mut after[..], &mut sum));
        linear_backward(
            (&kept.active, &after),
            &weights.matrices[3],
            (t, d),
            learns_below(10).then_some(if gated {
                &mut of_active[..]
            } else {
                &mut wide[..t * inner]
            }),
            self.pair(&mut sum, 10),
            add,
        );
        if !learns_below(10) {
            return;
        }
        let d_in = &mut wide[..t * into];
        if gated {
            self.backward_gate(kept, &of_active, d_in);
        } else {
            for (gradient, slope) in d_in.iter_mut().zip(kept.slope.iter()) {
                *gradient *= slope;
            }
        }
        linear_backward(
            (&kept.forward_normal, d_in),
            &weights.matrices[2],
            (t, into),
            learns_below(8).then_some(&mut narrow[..t * d]),
            self.pair(&mut sum, 8),
            add,
        );
        if !learns_below(8) {
            return;
        }
        norm::styled_backward(
            self.shape.style.norm,
            (
                kept.crossed.as_ref().map_or(&kept.middle, |crossed| &crossed.out),
                &kept.forward_stats,
            ),
            &part[6],
            &narrow[..t * d],
            learns_below(6).then_some(&mut *dx),
            self.pair(&mut sum, 6),
        );
        if let Some(crossed) = kept.crossed.as_ref().filter(|_| learns_below(6)) {
            let kept = (chunk, &kept.middle[..], crossed);
            let into = (&mut *dx, below(6), d_memory);
            cross::backward(self, weights, kept, memory, into, (sum.as_deref_mut(), add));
        }
        if below(6) {
            let room = [wide, narrow, after];
            self.attention_backward(weights, (chunk, kept, x), (dx, below), room, (sum, add));
        }
    }

    /// The lower half of [`Block::backward`]: from the gradient of `middle`, in `dx`, to that of
    /// `x`.
    #[inline(always)]
    fn attention_backward(
        &self,
        weights: &BlockWeights,
        (chunk, kept, x): (&Chunk, &Kept, &[f32]),
        (dx, learns_below): (&mut [f32], impl Fn(usize) -> bool),
        [mut wide, mut narrow, mut after]: [Scratch; 3],
        (mut sum, add): (Option<&mut [f32]>, bool),
    ) {
        let (d, t, part) = (self.shape.width, chunk.tokens.len(), &weights.part);
        let attended = self.shape.attended();
        // middle = x + dropout(W_o attended)
        after.copy_from_slice(dx);
        self.drop(0, chunk, &mut after);
        self.scale_found_backward(0, weights, kept, (&mut after[..], &mut sum));
        let narrow = &mut narrow[..t * attended];
        linear_backward(
            (&kept.attended, &after),
            &weights.matrices[1],
            (t, d),
            learns_below(4).then_some(&mut *narrow),
            self.pair(&mut sum, 4),
            add,
        );
        if !learns_below(4) {
            return;
        }
        let d_qkv = &mut wide[..t * 3 * attended];
        self.attend_backward(weights, (chunk, kept), narrow, d_qkv, &mut sum);
        self.scale_heads_backward(weights, kept, (d_qkv, &mut sum));
        linear_backward(
            (&kept.attention_normal, d_qkv),
            &weights.matrices[0],
            (t, 3 * attended),
            learns_below(2).then_some(&mut after),
            self.pair(&mut sum, 2),
            add,
        );
        if learns_below(2) {
            norm::styled_backward(
                self.shape.style.norm,
                (x, &kept.attention_stats),
                &part[0],
                &after,
                learns_below(0).then_some(dx),
                self.pair(&mut sum, 0),
            );
        }
    }

    /// From the gradient `d_out` of what every token finds to those of queries, keys and values,
    /// written to the rows `d_qkv`, and of what is added to scores.
    #[inline(always)]
    pub(super) fn attend_backward(
        &self,
        weights: &BlockWeights,
        (chunk, kept): (&Chunk, &Kept),
        d_out: &[f32],
        d_qkv: &mut [f32],
        sum: &mut Option<&mut [f32]>,
    ) {
        let (d, row, heads) = (self.shape.attended(), self.shape.row(), self.heads(weights));
        let mut scratch = Scratch::new(self.squares(chunk, 1, 2));
        let ranges = self.shape.ranges();
        let learnt = |i: usize, n: usize| Scratch::zeros(if self.learns[i] { n } else { 0 });
        let mut d_distances = learnt(DISTANCE, self.shape.heads * self.buckets.len());
        let mut d_intervals = learnt(INTERVAL, ranges[INTERVAL].len());
        for (sequence, length, tokens, scores) in self.sequences(chunk) {
            let (one, rows) =
                (tokens.start * d..tokens.end * d, tokens.start * row..tokens.end * row);
            let (qkv, scores) = (&kept.qkv[rows.clone()], &kept.weights[scores]);
            let mut d_bias = BiasGradient {
                distances: &mut d_distances,
                buckets: self.intervals_of(sequence),
                intervals: &mut d_intervals,
            };
            let (d_out, into) = (&d_out[one.clone()], (&mut d_qkv[rows.clone()], &mut d_bias));
            match self.shape.style.kind {
                BlockKind::Transformer => {
                    let forward = (qkv, scores, &kept.attended[one]);
                    heads.backward(length, forward, d_out, into, &mut scratch);
                }
                BlockKind::Hstu { longest } => {
                    let (lengths, forward) = ((length, longest), (qkv, scores));
                    heads.silu_backward(lengths, forward, d_out, into, &mut scratch);
                }
            }
            if let Some(rotation) = self.rotation() {
                rotation.turn((d, row), &mut d_qkv[rows], true);
            }
        }
        let Some(sum) = sum.as_deref_mut() else { return };
        if self.learns[DISTANCE] {
            let of_distances = &mut sum[ranges[DISTANCE].clone()];
            relative::gather(&d_distances, &self.buckets, of_distances);
        }
        if self.learns[INTERVAL] {
            norm::add(&mut sum[ranges[INTERVAL].clone()], &d_intervals);
        }
    }

    /// The gradients of the `weight`-th parameter and of the bias after it, where they learn.
    pub(super) fn pair<'a>(
        &self,
        sum: &'a mut Option<&mut [f32]>,
        weight: usize,
    ) -> (Option<&'a mut [f32]>, Option<&'a mut [f32]>) {
        let ranges = self.shape.ranges();
        let Some(sum) = sum.as_deref_mut() else { return (None, None) };
        let both = &mut sum[ranges[weight].start..ranges[weight + 1].end];
        let (of_weight, of_bias) = both.split_at_mut(ranges[weight].len());
        (self.learns[weight].then_some(of_weight), self.learns[weight + 1].then_some(of_bias))
    }
}

/// The lanes' gradients, added in their order.
pub(in crate::fused) fn add_up(lanes: &[Scratch]) -> Vec<f32> {
    /// Numbers that a task adds up.
    const PIECE: usize = 1 << 13;
    let mut sum = vec![0.0; lanes.first().map_or(0, |lane| lane.len())];
    sum.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sum)| {
        let numbers = piece * PIECE..piece * PIECE + sum.len();
        for lane in lanes {
            norm::add_all(sum, &lane[numbers.clone()]);
        }
    });
    sum
}
