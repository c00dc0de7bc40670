//! The norms of heads of queries and keys, and of what the halves of a block add.

use super::{Block, BlockWeights, Kept};
use crate::fused::rms_norm;
use crate::fused::scratch::Scratch;

/// Where the scales of the norms of queries and of keys stand among a block's parameters.
pub(super) const HEAD_NORMS: [usize; 2] = [22, 23];

/// Where those of what attention and the feed-forward half add stand.
pub(super) const AFTER_NORMS: [usize; 2] = [24, 25];

impl Block {
    /// The norms of what attention (0) or the feed-forward half (1) has found, in its place, which is
    /// kept as it was; nothing where there are none.
    #[inline(always)]
    pub(super) fn scale_found(
        &self,
        half: usize,
        weights: &BlockWeights,
        values: &mut [f32],
        found: &mut [Scratch; 2],
    ) {
        let style = self.shape.style;
        if style.after_norms {
            found[half].copy_from_slice(values);
            let scales = &weights.part[AFTER_NORMS[half]];
            rms_norm::forward(style.norm_epsilon.get(), &found[half], scales, values);
        }
    }

    /// The norms of the heads of queries and keys, in their place, which are kept as they were; nothing
    /// where there are none.
    #[inline(always)]
    pub(super) fn scale_heads(&self, weights: &BlockWeights, kept: &mut Kept) {
        let (style, attended, row) = (self.shape.style, self.shape.attended(), self.shape.row());
        if !style.head_norms {
            return;
        }
        let rows = kept.qkv.chunks_exact_mut(row).zip(kept.unscaled.chunks_exact_mut(2 * attended));
        for (row, unscaled) in rows {
            let both = &mut row[..2 * attended];
            unscaled.copy_from_slice(both);
            let parts = both.chunks_exact_mut(attended).zip(unscaled.chunks_exact(attended));
            for ((scaled, unscaled), scales) in parts.zip(HEAD_NORMS) {
                let scales = &weights.part[scales];
                rms_norm::forward(style.norm_epsilon.get(), unscaled, scales, scaled);
            }
        }
    }

    /// From the gradient of what attention (0) or the feed-forward half (1) adds to that of what it was
    /// before its norm, in its place, and to that of the norm's scale.
    #[inline(always)]
    pub(super) fn scale_found_backward(
        &self,
        half: usize,
        weights: &BlockWeights,
        kept: &Kept,
        (gradient, sum): (&mut [f32], &mut Option<&mut [f32]>),
    ) {
        let style = self.shape.style;
        if !style.after_norms {
            return;
        }
        let mut of_scaled = Scratch::new(gradient.len());
        of_scaled.copy_from_slice(gradient);
        let (number, epsilon) = (AFTER_NORMS[half], style.norm_epsilon.get());
        let (found, scales) = (&kept.found[half], &weights.part[number]);
        let d_scales = self.one(sum, number);
        rms_norm::backward(epsilon, found, scales, &of_scaled, Some(gradient), d_scales);
    }

    /// From the gradients of normalised queries and keys in the rows `d_qkv` to those of what they were
    /// before, in their place, and to those of the norms' scales.
    #[inline(always)]
    pub(super) fn scale_heads_backward(
        &self,
        weights: &BlockWeights,
        kept: &Kept,
        (d_qkv, sum): (&mut [f32], &mut Option<&mut [f32]>),
    ) {
        let (style, attended, row) = (self.shape.style, self.shape.attended(), self.shape.row());
        if !style.head_norms {
            return;
        }
        let (epsilon, mut of_scaled) = (style.norm_epsilon.get(), Scratch::new(attended));
        for (part, number) in HEAD_NORMS.into_iter().enumerate() {
            let (scales, mut d_scales) = (&weights.part[number], self.one(sum, number));
            let own = part * attended..(part + 1) * attended;
            let rows = d_qkv.chunks_exact_mut(row).zip(kept.unscaled.chunks_exact(2 * attended));
            for (row, unscaled) in rows {
                let gradient = &mut row[own.clone()];
                of_scaled.copy_from_slice(gradient);
                let (unscaled, into) = (&unscaled[own.clone()], Some(gradient));
                let d_scales = d_scales.as_deref_mut();
                rms_norm::backward(epsilon, unscaled, scales, &of_scaled, into, d_scales);
            }
        }
    }

    /// The gradient of the `number`-th parameter, where it learns.
    #[inline(always)]
    fn one<'a>(&self, sum: &'a mut Option<&mut [f32]>, number: usize) -> Option<&'a mut [f32]> {
        let sum = sum.as_deref_mut().filter(|_| self.learns[number])?;
        Some(&mut sum[self.shape.ranges()[number].clone()])
    }
}
