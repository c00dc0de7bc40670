//! The passes of an HSTU block (Zhai et al. 2024, *Actions speak louder than words*).
//!
//! As in the paper's public experiments (`SequentialTransductionUnitJagged` in
//! meta-recsys/generative-recommenders) scores are not scaled, silu is applied to queries, keys,
//! values and gates, and attention is divided by the longest sequence that the backbone reads. Other
//! than there, the first layer has a bias and the norms have scales and shifts, as all of ours, a
//! head has its own numbers for distances (in buckets) and intervals, and dropout comes after the
//! last layer, not before it.

use super::{Block, BlockWeights, DISTANCE, INTERVAL, Kept};
use crate::fused::lanes::Chunk;
use crate::fused::linear::{Activation, linear, linear_backward, times};
use crate::fused::norm;
use crate::fused::scratch::Scratch;

impl Block {
    /// `y` from `x`, and what the backward pass needs.
    #[inline(always)]
    pub(super) fn hstu_forward(
        &self,
        weights: &BlockWeights,
        chunk: &Chunk,
        x: &[f32],
        y: &mut [f32],
        kept: &mut Kept,
    ) {
        let (d, t, part) = (self.shape.width, chunk.tokens.len(), &weights.part);
        let style = self.shape.style;
        let (normal, stats) = (&mut kept.attention_normal, &mut kept.attention_stats);
        style.norms(&part[0], &part[1]).apply(x, normal, stats);
        linear(&kept.attention_normal, weights.linear(0), t, &mut kept.qkv);
        Activation::Silu.apply(&mut kept.qkv, &mut kept.slope);
        self.attend(weights, chunk, kept);
        let (normal, stats) = (&mut kept.forward_normal, &mut kept.forward_stats);
        style.norms(&part[6], &part[7]).apply(&kept.attended, normal, stats);
        let rows = kept.qkv.chunks_exact(4 * d).zip(kept.forward_normal.chunks_exact(d));
        for (active, (row, normal)) in kept.active.chunks_exact_mut(d).zip(rows) {
            for ((active, gate), normal) in active.iter_mut().zip(&row[3 * d..]).zip(normal) {
                *active = normal * gate;
            }
        }
        linear(&kept.active, weights.linear(1), t, y);
        self.drop_and_add(0, chunk, y, x);
    }

    /// As [`Block::backward`].
    #[inline(always)]
    pub(super) fn hstu_backward(
        &self,
        weights: &BlockWeights,
        (chunk, kept): (&Chunk, &Kept),
        (x, dy): (&[f32], &[f32]),
        (dx, needs_dx): (&mut [f32], bool),
        (mut sum, add): (Option<&mut [f32]>, bool),
    ) {
        let (d, t, part) = (self.shape.width, chunk.tokens.len(), &weights.part);
        let learns = |parameters: &[usize]| parameters.iter().any(|&i| self.learns[i]);
        let below_rows = needs_dx || learns(&[0, 1]);
        let below_attended = below_rows || learns(&[2, 3, DISTANCE, INTERVAL]);
        let below_out = below_attended || learns(&[6, 7]);
        let [mut narrow, mut after] = [Scratch::new(t * d), Scratch::new(t * d)];

        // y = x + dropout(W_o active)
        dx.copy_from_slice(dy);
        after.copy_from_slice(dy);
        self.drop(0, chunk, &mut after);
        linear_backward(
            (&kept.active, &after),
            &weights.matrices[1],
            (t, d),
            below_out.then_some(&mut narrow),
            self.pair(&mut sum, 4),
            add,
        );
        if !below_out {
            return;
        }
        let mut rows = Scratch::new(t * 4 * d);
        gate_backward(kept, d, &mut narrow, &mut rows);
        after.fill(0.0);
        norm::styled_backward(
            self.shape.style.norm,
            (&kept.attended, &kept.forward_stats),
            &part[6],
            &narrow,
            below_attended.then_some(&mut after),
            self.pair(&mut sum, 6),
        );
        if !below_attended {
            return;
        }
        self.attend_backward(weights, (chunk, kept), &after, &mut rows, &mut sum);
        times(&mut rows, &kept.slope);
        linear_backward(
            (&kept.attention_normal, &rows),
            &weights.matrices[0],
            (t, 4 * d),
            below_rows.then_some(&mut after),
            self.pair(&mut sum, 2),
            add,
        );
        if below_rows {
            norm::styled_backward(
                self.shape.style.norm,
                (x, &kept.attention_stats),
                &part[0],
                &after,
                needs_dx.then_some(dx),
                self.pair(&mut sum, 0),
            );
        }
    }
}

/// From the gradient `narrow` of the gated values [tokens, width] to that of the norm's, in its
/// place, and that of the gates, in their places in `rows`.
#[inline(always)]
fn gate_backward(kept: &Kept, d: usize, narrow: &mut [f32], rows: &mut [f32]) {
    let kept = kept.qkv.chunks_exact(4 * d).zip(kept.forward_normal.chunks_exact(d));
    let gradients = narrow.chunks_exact_mut(d).zip(rows.chunks_exact_mut(4 * d));
    for ((narrow, d_row), (row, normal)) in gradients.zip(kept) {
        let (d_gates, gates) = (&mut d_row[3 * d..], &row[3 * d..]);
        for i in 0..d {
            d_gates[i] = narrow[i] * normal[i];
            narrow[i] *= gates[i];
        }
    }
}
