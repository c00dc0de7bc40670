//! The product of bf16 factors, for processors that multiply them in pairs.
//!
//! A *pair* holds two neighbours along the inner dimension, the first in the lower half. The
//! instruction of AVX512-BF16 multiplies the pairs of sixteen columns with one pair of the left
//! factor and adds both products to sixteen f32 sums; that of AMX does so for sixteen rows and
//! sixteen pairs along the inner dimension at once.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod software;
#[cfg(any(test, target_arch = "x86_64"))]
mod tiles;

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{Panels, Part, View, inner_parts};

/// Sums of a register.
const LANES: usize = 16;

/// Numbers of the pairs of a register.
const NUMBERS: usize = 2 * LANES;

/// Registers of a panel's row.
const REGISTERS: usize = 4;

/// Columns of a panel.
const WIDTH: usize = REGISTERS * LANES;

/// Rows of a tile. The compiler moves all pairs of a tile's left factor into registers before the
/// first product, so that they, the sums and a row of the panel have to fit the 32 registers.
const ROWS: usize = 5;

/// Rows of a tile where half of a panel's columns are wanted.
const ROWS_OF_HALF: usize = 8;

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512Bf16 as Native;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use software::Software as Native;

/// Sixteen pairs where a line of the cache begins.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line([u32; LANES]);

/// The first `n` pairs of `lines`, which become as long as it takes.
fn room(lines: &mut Vec<Line>, n: usize) -> &mut [u32] {
    lines.resize(n.div_ceil(LANES), Line::default());
    &mut bytemuck::cast_slice_mut(lines)[..n]
}

/// An instruction that multiplies pairs, and those that make them.
pub(super) trait PairProducts: Copy {
    /// Sixteen f32 sums.
    type Sums: Copy;

    /// Sixteen pairs.
    type Pairs: Copy;

    /// Zeros.
    fn zero(self) -> Self::Sums;

    /// Writes as many of the sums as fit, or adds them to what is there.
    fn put(self, out: &mut [f32], sums: Self::Sums, add: bool);

    /// Pairs from memory.
    fn load(self, pairs: &[u32; LANES]) -> Self::Pairs;

    /// Pairs for the memory.
    fn store(self, pairs: Self::Pairs) -> [u32; LANES];

    /// The same pair sixteen times.
    fn splat(self, pair: u32) -> Self::Pairs;

    /// The first numbers, rounded, as they follow each other; zeros where there are too few.
    fn neighbours(self, numbers: &[f32]) -> Self::Pairs;

    /// A pair of each of the first numbers of both, rounded; zeros where there are too few.
    fn counterparts(self, first: &[f32], second: &[f32]) -> Self::Pairs;

    /// The pairs of `a` and of `b` in turn.
    fn zip(self, a: Self::Pairs, b: Self::Pairs) -> [Self::Pairs; 2];

    /// `sums` and, to each, both products of a pair of `a` with one of `b`.
    fn add(self, sums: Self::Sums, a: Self::Pairs, b: Self::Pairs) -> Self::Sums;
}

/// A left factor in pairs.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    values: &'a [u32],
    row_stride: usize,
    pair_stride: usize,
}

/// A product whose right factor was packed by [`pack`].
pub(super) struct Product<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    pub(super) add: bool,
    pub(super) m: usize,
    pub(super) a: Pairs<'a>,
    pub(super) b: &'a Panels,
    pub(super) part: Part,
}

/// The part of `values` from `start` on that there is.
#[inline(always)]
fn from(values: &[f32], start: usize) -> &[f32] {
    &values[start.min(values.len())..]
}

/// The line `line` of `count`, of `n` numbers and `stride` apart; nothing beyond the last.
#[inline(always)]
fn line(values: &[f32], line: usize, count: usize, (n, stride): (usize, usize)) -> &[f32] {
    if line < count { &values[line * stride..][..n] } else { &[] }
}

/// Packs a right factor: [panels, pairs along the inner dimension, `N` registers], filled up with
/// zeros, the inner dimension to a multiple of `depth` pairs.
#[inline(always)]
fn pack<P: PairProducts, const N: usize>(
    with: P,
    panels: &mut Vec<Line>,
    b: View<'_>,
    (rows, columns): (usize, usize),
    depth: usize,
) {
    let width = N * LANES;
    let pairs = rows.div_ceil(2).next_multiple_of(depth);
    let panels = room(panels, columns.div_ceil(width) * width * pairs);
    let starts = (0..columns).step_by(width);
    for (panel, start) in panels.chunks_exact_mut((width * pairs).max(1)).zip(starts) {
        let panel = panel.as_chunks_mut().0.as_chunks_mut::<N>().0;
        let n = width.min(columns - start);
        let values = &b.values[start * b.column_stride..];
        if b.column_stride == 1 {
            pack_rows(with, panel, values, (rows, n, b.row_stride));
        } else {
            assert_eq!(b.row_stride, 1, "a factor lies in lines of its own rows or columns");
            pack_columns(with, panel, values, (rows, n, b.column_stride));
        }
    }
}

/// One panel, from rows `stride` apart.
#[inline(always)]
fn pack_rows<P: PairProducts, const N: usize>(
    with: P,
    panel: &mut [[[u32; LANES]; N]],
    values: &[f32],
    (rows, n, stride): (usize, usize, usize),
) {
    for (pair, out) in panel.iter_mut().enumerate() {
        let first = line(values, 2 * pair, rows, (n, stride));
        let second = line(values, 2 * pair + 1, rows, (n, stride));
        for (register, out) in out.iter_mut().enumerate() {
            let start = register * LANES;
            *out = with.store(with.counterparts(from(first, start), from(second, start)));
        }
    }
}

/// One panel, from columns `stride` apart: sixteen pairs of sixteen columns at a time.
#[inline(always)]
fn pack_columns<P: PairProducts, const N: usize>(
    with: P,
    panel: &mut [[[u32; LANES]; N]],
    values: &[f32],
    (rows, n, stride): (usize, usize, usize),
) {
    for (block, panel) in panel.chunks_mut(LANES).enumerate() {
        for register in 0..N {
            let mut square = [with.load(&[0; LANES]); LANES];
            for (column, pairs) in (register * LANES..n).zip(&mut square) {
                let column = &values[column * stride..][..rows];
                *pairs = with.neighbours(from(column, block * NUMBERS));
            }
            for (out, pairs) in panel.iter_mut().zip(transpose(with, square)) {
                out[register] = with.store(pairs);
            }
        }
    }
}

/// Exchanges rows and columns. With 8 bits that number a pair, four for its row and four for its
/// place, a round makes the highest bit the lowest.
#[inline(always)]
fn transpose<P: PairProducts>(with: P, square: [P::Pairs; LANES]) -> [P::Pairs; LANES] {
    // By value, so that the square stays in registers.
    transpose_round(
        with,
        transpose_round(with, transpose_round(with, transpose_round(with, square))),
    )
}

#[inline(always)]
fn transpose_round<P: PairProducts>(with: P, square: [P::Pairs; LANES]) -> [P::Pairs; LANES] {
    let mut out = square;
    for i in 0..LANES / 2 {
        [out[2 * i], out[2 * i + 1]] = with.zip(square[i], square[i + LANES / 2]);
    }
    out
}

/// Puts a left factor's pairs into `scratch`, in the order in which its numbers lie.
#[inline(always)]
fn pairs<'a, P: PairProducts>(
    with: P,
    scratch: &'a mut Vec<Line>,
    a: View<'_>,
    (rows, columns): (usize, usize),
) -> Pairs<'a> {
    let View { values, row_stride, column_stride } = a;
    let n = columns.div_ceil(2);
    let scratch = room(scratch, rows * n);
    if column_stride == 1 {
        for (row, out) in scratch.chunks_exact_mut(n.max(1)).enumerate() {
            let row = &values[row * row_stride..][..columns];
            for (numbers, out) in row.chunks(NUMBERS).zip(out.chunks_mut(LANES)) {
                write(out, with.store(with.neighbours(numbers)));
            }
        }
        return Pairs { values: scratch, row_stride: n, pair_stride: 1 };
    }
    assert_eq!(row_stride, 1, "a factor lies in lines of its own rows or columns");
    for (pair, out) in scratch.chunks_exact_mut(rows.max(1)).enumerate() {
        let first = line(values, 2 * pair, columns, (rows, column_stride));
        let second = line(values, 2 * pair + 1, columns, (rows, column_stride));
        for (i, out) in out.chunks_mut(LANES).enumerate() {
            let start = i * LANES;
            let pairs = with.counterparts(from(first, start), from(second, start));
            write(out, with.store(pairs));
        }
    }
    Pairs { values: scratch, row_stride: 1, pair_stride: rows }
}

/// As many of `pairs` as fit.
#[inline(always)]
fn write(out: &mut [u32], pairs: [u32; LANES]) {
    match out.first_chunk_mut() {
        Some(out) => *out = pairs,
        None => out.copy_from_slice(&pairs[..out.len()]),
    }
}

impl Product<'_> {
    /// Goes through the product in tiles of a panel's width.
    #[inline(always)]
    fn run<P: PairProducts>(mut self, with: P) {
        let (n, m, k) = (self.b.columns, self.m, self.b.rows);
        for pairs in inner_parts(self.part, k.div_ceil(2), WIDTH) {
            self.add |= pairs.start > 0;
            let inner = 2 * pairs.start..k.min(2 * pairs.end);
            for start in (0..n).step_by(WIDTH) {
                let place = (start..n.min(start + WIDTH), inner.clone());
                let half = place.0.len() <= WIDTH / 2;
                let mut row = 0;
                while row < m {
                    row += match m - row {
                        ROWS_OF_HALF.. if half => {
                            self.tile::<P, ROWS_OF_HALF, 2>(with, row, &place)
                        }
                        ROWS.. => self.tile::<P, ROWS, REGISTERS>(with, row, &place),
                        2.. => self.tile::<P, 2, REGISTERS>(with, row, &place),
                        _ => self.tile::<P, 1, REGISTERS>(with, row, &place),
                    };
                }
            }
        }
    }

    /// `M` rows of the product from row `row` on, in `columns`, which are the first `N` registers
    /// of one panel at most, summed over the range `inner`; returns `M`.
    #[inline(always)]
    fn tile<P: PairProducts, const M: usize, const N: usize>(
        &mut self,
        with: P,
        row: usize,
        (columns, inner): &(Range<usize>, Range<usize>),
    ) -> usize {
        let (wanted, inner) = self.part.needs(&(row..row + M), self.b.columns, inner.clone());
        if columns.start >= wanted {
            return M;
        }
        // Where a factor is triangular, what a pair has beyond the range is zero.
        let inner = inner.start / 2..inner.end.div_ceil(2);
        let Pairs { values, row_stride, pair_stride } = self.a;
        let pairs = self.b.rows.div_ceil(2);
        let panel = self.b.pairs()[columns.start * pairs..][..WIDTH * pairs].as_chunks().0;
        let panel: &[[[u32; LANES]; REGISTERS]] = &panel.as_chunks().0[inner.clone()];
        let mut sums = [[with.zero(); N]; M];
        let mut first = row * row_stride + inner.start * pair_stride;
        let last = first + (M - 1) * row_stride + panel.len().saturating_sub(1) * pair_stride;
        assert!(panel.is_empty() || last < values.len(), "the left factor is too small");
        for b in panel {
            let b: [P::Pairs; N] = std::array::from_fn(|i| with.load(&b[i]));
            for (i, sums) in sums.iter_mut().enumerate() {
                #[expect(unsafe_code, reason = "checks of bounds would take as long as the sums")]
                // SAFETY: no index is above `last`.
                let a = unsafe { *values.get_unchecked(first + i * row_stride) };
                let a = with.splat(a);
                *sums = std::array::from_fn(|i| with.add(sums[i], a, b[i]));
            }
            first += pair_stride;
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(row + i) * self.out_stride..][columns.clone()];
            // Counted at compile time, so that sums go from registers to where they belong.
            for (register, sums) in sums.into_iter().enumerate() {
                let at = out.len().min(register * LANES)..out.len().min((register + 1) * LANES);
                with.put(&mut out[at], sums, self.add);
            }
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bf16;
    use super::super::tests::{numbers, safe};
    use super::software::Software;
    use super::*;
    use crate::fused::matrix::Precision;

    type Factors<'a> = ((usize, usize, usize), View<'a>, View<'a>);

    fn by_squares(part: Part, ((m, n, k), a, b): Factors<'_>, out: &mut [f32], add: bool) {
        let mut panels = Panels { rows: k, columns: n, ..Panels::default() };
        let mut scratch = vec![];
        tiles::pack(Software, &mut panels.pairs, b, (k, n));
        let a = tiles::rows_of_pairs(Software, &mut scratch, a, (m, k));
        Product { out, out_stride: n, add, m, a, b: &panels, part }.run_squares(Software);
    }

    fn by_software(part: Part, ((m, n, k), a, b): Factors<'_>, out: &mut [f32], add: bool) {
        let mut panels = Panels { rows: k, columns: n, ..Panels::default() };
        let mut scratch = vec![];
        pack::<_, REGISTERS>(Software, &mut panels.pairs, b, (k, n), 1);
        let pairs = pairs(Software, &mut scratch, a, (m, k));
        Product { out, out_stride: n, add, m, a: pairs, b: &panels, part }.run(Software);
    }

    proptest! {
        /// Whole numbers this small are bf16 numbers, and their sums are exact.
        #[test]
        fn the_product_is_the_safe_one(
            (m, n, k) in (1..80_usize, 1..140_usize, 0..900_usize),
            (flip_a, flip_b, add) in any::<(bool, bool, bool)>(),
        ) {
            let (a, b) = (numbers(m * k, 37), numbers(n * k, 53));
            let a = if flip_a { View::rows(&a, m).transposed() } else { View::rows(&a, k) };
            let b = if flip_b { View::rows(&b, k).transposed() } else { View::rows(&b, n) };
            let [mut software, mut squares, mut here, mut expected] =
                [(); 4].map(|()| vec![1.0; m * n]);
            safe((&mut expected, n, add), (m, n, k), a, b);
            by_software(Part::Whole, ((m, n, k), a, b), &mut software, add);
            by_squares(Part::Whole, ((m, n, k), a, b), &mut squares, add);
            prop_assert_eq!(&software, &expected);
            prop_assert_eq!(&squares, &expected);
            if add {
                Precision::Bf16.multiply_add((&mut here, n), (m, n, k), a, b);
            } else {
                Precision::Bf16.multiply(Part::Whole, (&mut here, n), (m, n, k), a, b);
            }
            prop_assert_eq!(here, expected);
        }

        #[test]
        fn triangles_are_the_same(n in 1..60_usize, k in 1..20_usize) {
            let (a, b) = (numbers(n * n, 37), numbers(n * k, 53));
            let lower: Vec<f32> =
                (0..n * n).map(|i| if i % n <= i / n { a[i] } else { 0.0 }).collect();
            let lower = View::rows(&lower, n);
            let b = View::rows(&b, k);
            for (part, a) in [(Part::LowerFactor, lower), (Part::UpperFactor, lower.transposed())] {
                let [mut software, mut squares, mut here, mut expected] =
                    [(); 4].map(|()| vec![0.0; n * k]);
                safe((&mut expected, k, false), (n, k, n), a, b);
                by_software(part, ((n, k, n), a, b), &mut software, false);
                by_squares(part, ((n, k, n), a, b), &mut squares, false);
                prop_assert_eq!(&software, &expected);
                prop_assert_eq!(&squares, &expected);
                Precision::Bf16.multiply(part, (&mut here, k), (n, k, n), a, b);
                prop_assert_eq!(here, expected);
            }
        }
    }

    /// What rounding to bf16 leaves: the processor's own sums differ in their last bits.
    #[test]
    fn factors_are_rounded_and_sums_are_not() {
        let (m, n, k) = (13, 37, 51);
        let real = |count: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 333.0).collect()
        };
        let (a, b) = (real(m * k), real(k * n));
        let round = |values: &[f32]| -> Vec<f32> {
            values.iter().map(|&x| f32::from_bits(bf16(x) << 16)).collect()
        };
        let (rounded_a, rounded_b) = (round(&a), round(&b));
        let [mut software, mut here, mut expected] = [(); 3].map(|()| vec![0.0; m * n]);
        let shape = (m, n, k);
        safe(
            (&mut expected, n, false),
            shape,
            View::rows(&rounded_a, k),
            View::rows(&rounded_b, n),
        );
        let (a, b) = (View::rows(&a, k), View::rows(&b, n));
        by_software(Part::Whole, (shape, a, b), &mut software, false);
        Precision::Bf16.multiply(Part::Whole, (&mut here, n), shape, a, b);
        for (found, expected) in software.iter().chain(&here).zip(expected.iter().chain(&expected))
        {
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_and_to_even() {
        let bits = |x: f32| bf16(x);
        assert_eq!(bits(1.0), 0x3f80);
        assert_eq!(bits(f32::from_bits(0x3f80_8000)), 0x3f80, "between two, the even one");
        assert_eq!(bits(f32::from_bits(0x3f81_8000)), 0x3f82, "between two, the even one");
        assert_eq!(bits(f32::from_bits(0x3f80_8001)), 0x3f81);
        assert_eq!(bits(f32::INFINITY), 0x7f80);
        assert_eq!(bits(f32::MAX), 0x7f80, "beyond the largest");
        assert!(f32::from_bits(bits(f32::from_bits(0x7fff_ffff)) << 16).is_nan());
        assert!(f32::from_bits(bits(f32::from_bits(0x7f80_0001)) << 16).is_nan());
    }
}
