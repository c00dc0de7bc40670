//! Products of whole squares, for processors with registers of sixteen rows.

use std::ops::Range;

use super::{
    LANES, Line, NUMBERS, PairProducts, Pairs, Part, Product, View, from, line, transpose,
};

/// Rows and columns of a square: two registers by two, so that each is loaded for two products.
pub(super) const SIDE: usize = 2 * LANES;

/// Pairs along the inner dimension that one instruction multiplies.
pub(super) const DEPTH: usize = LANES;

/// Pairs of a part of the inner dimension, whose panel's half stays in the first cache.
const MOST: usize = 12 * DEPTH;

/// An instruction that multiplies squares.
pub(super) trait SquareProducts: Copy {
    /// The square of sums whose first is the first of `out`, in rows `out_stride` apart, becomes a
    /// product or, if `add`, grows by it: that of the upper and the lower sixteen rows of `a`, as
    /// [`rows_of_pairs`] has them, and a panel of `b`, as [`pack`] has it, or a stretch of it.
    fn square(self, out: (&mut [f32], usize, bool), a: [&[u32]; 2], b: &[u32]);
}

/// Packs a right factor: [panels, pairs along the inner dimension, [`SIDE`]], filled up with zeros,
/// the inner dimension to whole registers.
#[inline(always)]
pub(super) fn pack<P: PairProducts>(
    with: P,
    panels: &mut Vec<Line>,
    b: View<'_>,
    shape: (usize, usize),
) {
    super::pack::<P, { SIDE / LANES }>(with, panels, b, shape, DEPTH);
}

/// Puts a left factor's pairs into `scratch`: [sixteens of rows, [`DEPTH`]s along the inner
/// dimension, rows, pairs], so that a register's lie together; filled up with zeros along the inner
/// dimension, and with anything to whole squares of rows.
#[inline(always)]
pub(super) fn rows_of_pairs<'a, P: PairProducts>(
    with: P,
    scratch: &'a mut Vec<Line>,
    a: View<'_>,
    (rows, columns): (usize, usize),
) -> Pairs<'a> {
    let View { values, row_stride, column_stride } = a;
    let n = columns.div_ceil(NUMBERS) * DEPTH;
    let scratch = super::room(scratch, rows.next_multiple_of(SIDE) * n);
    if n == 0 {
        return Pairs { values: scratch, row_stride: 0, pair_stride: 1 };
    }
    for (i, out) in scratch.chunks_exact_mut(LANES * n).take(rows.div_ceil(LANES)).enumerate() {
        let first = i * LANES;
        let height = LANES.min(rows - first);
        for (block, out) in out.chunks_exact_mut(LANES * DEPTH).enumerate() {
            let out = out.as_chunks_mut().0;
            if column_stride == 1 {
                for (row, out) in out.iter_mut().take(height).enumerate() {
                    let row = &values[(first + row) * row_stride..][..columns];
                    *out = with.store(with.neighbours(from(row, block * NUMBERS)));
                }
            } else {
                assert_eq!(row_stride, 1, "a factor lies in lines of its own rows or columns");
                let mut square = [with.load(&[0; LANES]); LANES];
                for (pair, pairs) in square.iter_mut().enumerate() {
                    let at = |pair: usize| {
                        let shape = (height, column_stride);
                        line(&values[first..], pair, columns, shape)
                    };
                    let pair = 2 * (block * DEPTH + pair);
                    *pairs = with.counterparts(at(pair), at(pair + 1));
                }
                for (out, pairs) in out.iter_mut().zip(transpose(with, square)) {
                    *out = with.store(pairs);
                }
            }
        }
    }
    Pairs { values: scratch, row_stride: n, pair_stride: 1 }
}

impl Product<'_> {
    /// Goes through the product in squares.
    #[inline(always)]
    pub(super) fn run_squares<T: SquareProducts>(mut self, with: T) {
        let (n, m, k) = (self.b.columns, self.m, self.b.rows);
        let parts = if self.part == Part::Whole { k.div_ceil(2 * MOST).max(1) } else { 1 };
        let a_part = k.div_ceil(parts).next_multiple_of(2 * DEPTH);
        for part in 0..parts {
            self.add |= part > 0;
            let inner = k.min(part * a_part)..k.min((part + 1) * a_part);
            for column in (0..n).step_by(SIDE) {
                for row in (0..m).step_by(SIDE) {
                    let rows = row..m.min(row + SIDE);
                    let (wanted, inner) = self.part.needs(&rows, n, inner.clone());
                    if column < wanted {
                        self.square(with, rows, column..n.min(column + SIDE), inner);
                    }
                }
            }
        }
    }

    /// One square, or as much of it as there is.
    #[inline(always)]
    fn square<T: SquareProducts>(
        &mut self,
        with: T,
        rows: Range<usize>,
        columns: Range<usize>,
        inner: Range<usize>,
    ) {
        // Where a factor is triangular, it is zero beyond the range.
        let pairs = inner.start / NUMBERS * DEPTH..inner.end.div_ceil(NUMBERS) * DEPTH;
        let Pairs { values, row_stride, .. } = self.a;
        let a = &values[rows.start * row_stride..][..SIDE * row_stride];
        let (upper, lower) = a.split_at(LANES * row_stride);
        let stretch = pairs.start * LANES..pairs.end * LANES;
        let a = [&upper[stretch.clone()], &lower[stretch]];
        let panel = SIDE * self.b.rows.div_ceil(NUMBERS) * DEPTH;
        let panel = &self.b.pairs()[columns.start / SIDE * panel..][..panel];
        let b = &panel[pairs.start * SIDE..pairs.end * SIDE];
        let (stride, add) = (self.out_stride, self.add);
        let out = &mut self.out[rows.start * stride + columns.start..];
        if rows.len() == SIDE && columns.len() == SIDE {
            return with.square((out, stride, add), a, b);
        }
        let mut sums = [0.0; SIDE * SIDE];
        if add {
            for (sums, out) in sums.chunks_exact_mut(SIDE).zip(out.chunks(stride)).take(rows.len())
            {
                sums[..columns.len()].copy_from_slice(&out[..columns.len()]);
            }
        }
        with.square((&mut sums, SIDE, add), a, b);
        for (sums, out) in sums.chunks_exact(SIDE).zip(out.chunks_mut(stride)).take(rows.len()) {
            out[..columns.len()].copy_from_slice(&sums[..columns.len()]);
        }
    }
}
