//! The product of f32 factors, in registers as wide as the machine's.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{Panels, Part, View, inner_parts};

/// Registers of a panel's row.
const REGISTERS: usize = 2;

/// Packs the right factor of [`Product`].
pub(super) struct Pack<'a> {
    pub(super) panels: &'a mut Vec<f32>,
    pub(super) matrix: View<'a>,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { panels, matrix, rows, columns } = self;
        let width = REGISTERS * S::F32_LANES;
        panels.resize(columns.div_ceil(width) * width * rows, 0.0);
        let starts = (0..columns).step_by(width);
        for (panel, start) in panels.chunks_exact_mut((width * rows).max(1)).zip(starts) {
            let n = width.min(columns - start);
            if n < width {
                panel.fill(0.0);
            }
            let View { values, row_stride, column_stride } = matrix;
            let values = &values[start * column_stride..];
            if column_stride == 1 {
                for (row, out) in panel.chunks_exact_mut(width).enumerate() {
                    out[..n].copy_from_slice(&values[row * row_stride..][..n]);
                }
            } else {
                for column in 0..n {
                    let values = values[column * column_stride..].iter().step_by(row_stride);
                    for (out, value) in panel.chunks_exact_mut(width).zip(values) {
                        out[column] = *value;
                    }
                }
            }
        }
    }
}

/// A product whose right factor was packed on this machine.
pub(super) struct Product<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    pub(super) add: bool,
    pub(super) m: usize,
    pub(super) a: View<'a>,
    pub(super) b: &'a Panels,
    pub(super) part: Part,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as fit the registers beside a row of the panel and one number of `a`.
        if S::F32_LANES >= 16 { self.tiles::<S, 12>(simd) } else { self.tiles::<S, 6>(simd) }
    }
}

impl Product<'_> {
    /// Goes through the product in tiles of at most `M` rows and a panel's width.
    #[inline(always)]
    fn tiles<S: Simd, const M: usize>(mut self, simd: S) {
        let (n, k, m) = (self.b.columns, self.b.rows, self.m);
        let width = REGISTERS * S::F32_LANES;
        for part in inner_parts(self.part, k, width) {
            self.add |= part.start > 0;
            for panel in 0..n.div_ceil(width) {
                for start in (0..m).step_by(M) {
                    let rows = start..m.min(start + M);
                    let (wanted, inner) = self.part.needs(&rows, n, part.clone());
                    let columns = panel * width..n.min((panel + 1) * width);
                    if columns.start < wanted {
                        self.tile::<S, M>(simd, rows, columns, inner);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        rows: Range<usize>,
        columns: Range<usize>,
        inner: Range<usize>,
    ) {
        match rows.len() {
            n if n == M => self.rows::<S, M>(simd, rows.start, columns, inner),
            11 if M > 6 => self.rows::<S, 11>(simd, rows.start, columns, inner),
            10 if M > 6 => self.rows::<S, 10>(simd, rows.start, columns, inner),
            9 if M > 6 => self.rows::<S, 9>(simd, rows.start, columns, inner),
            8 if M > 6 => self.rows::<S, 8>(simd, rows.start, columns, inner),
            7 if M > 6 => self.rows::<S, 7>(simd, rows.start, columns, inner),
            6 => self.rows::<S, 6>(simd, rows.start, columns, inner),
            5 => self.rows::<S, 5>(simd, rows.start, columns, inner),
            4 => self.rows::<S, 4>(simd, rows.start, columns, inner),
            3 => self.rows::<S, 3>(simd, rows.start, columns, inner),
            2 => self.rows::<S, 2>(simd, rows.start, columns, inner),
            _ => self.rows::<S, 1>(simd, rows.start, columns, inner),
        }
    }

    /// `M` rows of the product from row `row` on, in `columns` of one panel.
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        row: usize,
        columns: Range<usize>,
        inner: Range<usize>,
    ) {
        let lanes = S::F32_LANES;
        let width = REGISTERS * lanes;
        let View { values, row_stride, column_stride } = self.a;
        let panel = &self.b.values[columns.start * self.b.rows..][..width * self.b.rows];
        let (panel, _) = S::as_simd_f32s(&panel[inner.start * width..inner.end * width]);
        let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; M];
        let mut first = row * row_stride + inner.start * column_stride;
        for b in panel.as_chunks::<REGISTERS>().0 {
            for (i, sums) in sums.iter_mut().enumerate() {
                #[expect(unsafe_code, reason = "checks of bounds would take as long as the sums")]
                // SAFETY: `product` has checked that `a` holds its m rows of k numbers; the tile's
                // rows are below m and its inner range ends at k or below.
                let a = unsafe { *values.get_unchecked(first + i * row_stride) };
                let a = simd.splat_f32s(a);
                sums[0] = simd.mul_add_e_f32s(a, b[0], sums[0]);
                sums[1] = simd.mul_add_e_f32s(a, b[1], sums[1]);
            }
            first += column_stride;
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(row + i) * self.out_stride..][columns.clone()];
            if let ([low, high], []) = S::as_mut_simd_f32s(out) {
                for (out, sum) in [low, high].into_iter().zip(sums) {
                    *out = if self.add { simd.add_f32s(*out, sum) } else { sum };
                }
                continue;
            }
            let (low, high) = out.split_at_mut(lanes.min(out.len()));
            for (out, mut sum) in [low, high].into_iter().zip(sums) {
                if self.add {
                    sum = simd.add_f32s(simd.partial_load_f32s(out), sum);
                }
                simd.partial_store_f32s(out, sum);
            }
        }
    }
}
