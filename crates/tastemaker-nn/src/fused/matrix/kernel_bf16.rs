//! The product of bf16 factors, for processors that multiply them in pairs.
//!
//! A *pair* holds two neighbours along the inner dimension, the first in the lower half. The
//! instruction multiplies the pairs of sixteen columns with one pair of the left factor and adds
//! both products to sixteen f32 sums.

use std::ops::Range;

use super::{Panels, Part, View, bf16};

/// Sums of a register.
const LANES: usize = 16;

/// Registers of a panel's row.
const REGISTERS: usize = 2;

/// Columns of a panel.
const WIDTH: usize = REGISTERS * LANES;

/// Rows of a tile: as many sums as fit the 32 registers beside a row of the panel and one pair.
const ROWS: usize = 12;

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512Bf16 as Native;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use software::Software as Native;

/// An instruction that multiplies pairs.
pub(super) trait PairProducts: Copy {
    /// Sixteen f32 sums.
    type Sums: Copy;

    /// Zeros.
    fn zero(self) -> Self::Sums;

    /// `sums` and, to each, both products of `a` with a pair of `b`.
    fn add(self, sums: Self::Sums, a: u32, b: &[u32; LANES]) -> Self::Sums;

    /// The sums as numbers.
    fn numbers(self, sums: Self::Sums) -> [f32; LANES];
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

#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    bf16(first) | bf16(second) << 16
}

/// Packs a right factor: [panels, pairs along the inner dimension, WIDTH], filled up with zeros.
#[inline(always)]
fn pack(panels: &mut Vec<u32>, matrix: View<'_>, (rows, columns): (usize, usize)) {
    let View { values, row_stride, column_stride } = matrix;
    panels.clear();
    panels.resize(columns.div_ceil(WIDTH) * WIDTH * rows.div_ceil(2), 0);
    let starts = (0..columns).step_by(WIDTH);
    let all = panels.chunks_exact_mut((WIDTH * rows.div_ceil(2)).max(1));
    for (panel, start) in all.zip(starts) {
        let n = WIDTH.min(columns - start);
        for (p, out) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
            let first = &values[2 * p * row_stride + start * column_stride..];
            let second = (2 * p + 1 < rows).then(|| &first[row_stride..]);
            if let (1, Some(second)) = (column_stride, second) {
                for ((out, first), second) in out[..n].iter_mut().zip(first).zip(second) {
                    *out = pair(*first, *second);
                }
            } else {
                for (i, out) in out[..n].iter_mut().enumerate() {
                    let second = second.map_or(0.0, |second| second[i * column_stride]);
                    *out = pair(first[i * column_stride], second);
                }
            }
        }
    }
}

/// Puts a left factor's pairs into `scratch`, in the order in which its numbers lie.
#[inline(always)]
fn pairs<'a>(scratch: &'a mut Vec<u32>, a: View<'_>, (rows, columns): (usize, usize)) -> Pairs<'a> {
    let View { values, row_stride, column_stride } = a;
    let n = columns.div_ceil(2);
    scratch.clear();
    scratch.resize(rows * n, 0);
    if n == 0 {
        return Pairs { values: scratch, row_stride: 0, pair_stride: 0 };
    }
    if column_stride == 1 {
        for (row, out) in scratch.chunks_exact_mut(n).enumerate() {
            let (whole, rest) = values[row * row_stride..][..columns].as_chunks::<2>();
            for (out, &[first, second]) in out.iter_mut().zip(whole) {
                *out = pair(first, second);
            }
            if let [last] = rest {
                out[n - 1] = pair(*last, 0.0);
            }
        }
        return Pairs { values: scratch, row_stride: n, pair_stride: 1 };
    }
    for (p, out) in scratch.chunks_exact_mut(rows.max(1)).enumerate() {
        let first = &values[2 * p * column_stride..];
        let second = (2 * p + 1 < columns).then(|| &first[column_stride..]);
        for (row, out) in out.iter_mut().enumerate() {
            let second = second.map_or(0.0, |second| second[row * row_stride]);
            *out = pair(first[row * row_stride], second);
        }
    }
    Pairs { values: scratch, row_stride: 1, pair_stride: rows }
}

impl Product<'_> {
    /// Goes through the product in tiles of a panel's width.
    #[inline(always)]
    fn run<P: PairProducts>(mut self, with: P) {
        let (n, m) = (self.b.columns, self.m);
        for panel in 0..n.div_ceil(WIDTH) {
            let columns = panel * WIDTH..n.min((panel + 1) * WIDTH);
            let mut row = 0;
            while row < m {
                row += match m - row {
                    ROWS.. => self.tile::<P, ROWS>(with, row, &columns),
                    4.. => self.tile::<P, 4>(with, row, &columns),
                    _ => self.tile::<P, 1>(with, row, &columns),
                };
            }
        }
    }

    /// `M` rows of the product from row `row` on, in `columns` of one panel; returns `M`.
    #[inline(always)]
    fn tile<P: PairProducts, const M: usize>(
        &mut self,
        with: P,
        row: usize,
        columns: &Range<usize>,
    ) -> usize {
        let (wanted, inner) = self.part.needs(&(row..row + M), self.b.columns, self.b.rows);
        if columns.start >= wanted {
            return M;
        }
        // Where a factor is triangular, what a pair has beyond the range is zero.
        let inner = inner.start / 2..inner.end.div_ceil(2);
        let Pairs { values, row_stride, pair_stride } = self.a;
        let pairs = self.b.rows.div_ceil(2);
        let panel = &self.b.pairs[columns.start * pairs..][..WIDTH * pairs];
        let panel = &panel[inner.start * WIDTH..inner.end * WIDTH];
        let mut sums = [[with.zero(); REGISTERS]; M];
        let mut first = row * row_stride + inner.start * pair_stride;
        for b in panel.as_chunks::<LANES>().0.as_chunks::<REGISTERS>().0 {
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = values[first + i * row_stride];
                sums[0] = with.add(sums[0], a, &b[0]);
                sums[1] = with.add(sums[1], a, &b[1]);
            }
            first += pair_stride;
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(row + i) * self.out_stride..][columns.clone()];
            for (out, sums) in out.chunks_mut(LANES).zip(sums) {
                for (out, sum) in out.iter_mut().zip(with.numbers(sums)) {
                    *out = if self.add { *out + sum } else { sum };
                }
            }
        }
        M
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    #![expect(unsafe_code, reason = "only the processor can say whether it has the instruction")]

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_epi32, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{LANES, PairProducts, Pairs, Product, View};

    /// Says that the processor has AVX512-BF16.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512Bf16(());

    #[expect(clippy::unused_self, reason = "a value says that the processor has the features")]
    impl Avx512Bf16 {
        /// The instruction, if the processor has it.
        pub(in super::super) fn detect() -> Option<Self> {
            let has = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bf16");
            has.then_some(Self(()))
        }

        /// [`super::pack`].
        pub(in super::super) fn pack(
            self,
            panels: &mut Vec<u32>,
            matrix: View<'_>,
            shape: (usize, usize),
        ) {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
            fn run(panels: &mut Vec<u32>, matrix: View<'_>, shape: (usize, usize)) {
                super::pack(panels, matrix, shape);
            }
            // SAFETY: a value of this type is only made where the processor has the features.
            unsafe { run(panels, matrix, shape) }
        }

        /// [`super::pairs`].
        pub(in super::super) fn pairs<'a>(
            self,
            scratch: &'a mut Vec<u32>,
            a: View<'_>,
            shape: (usize, usize),
        ) -> Pairs<'a> {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
            fn run<'a>(scratch: &'a mut Vec<u32>, a: View<'_>, shape: (usize, usize)) -> Pairs<'a> {
                super::pairs(scratch, a, shape)
            }
            // SAFETY: a value of this type is only made where the processor has the features.
            unsafe { run(scratch, a, shape) }
        }

        /// The product.
        pub(in super::super) fn product(self, product: Product<'_>) {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
            fn run(product: Product<'_>, with: Avx512Bf16) {
                product.run(with);
            }
            // SAFETY: a value of this type is only made where the processor has the features.
            unsafe { run(product, self) }
        }
    }

    impl PairProducts for Avx512Bf16 {
        type Sums = __m512;

        #[inline(always)]
        fn zero(self) -> __m512 {
            // SAFETY: a value of this type is only made where the processor has the features.
            unsafe { _mm512_setzero_ps() }
        }

        #[inline(always)]
        fn add(self, sums: __m512, a: u32, b: &[u32; LANES]) -> __m512 {
            // SAFETY: a value of this type is only made where the processor has the features; `b`
            // is as long as a register, and the conversions change the type of the bits alone.
            unsafe {
                let b = _mm512_loadu_epi32(b.as_ptr().cast::<i32>());
                let a = _mm512_set1_epi32(a.cast_signed());
                _mm512_dpbf16_ps(
                    sums,
                    std::mem::transmute::<__m512i, __m512bh>(a),
                    std::mem::transmute::<__m512i, __m512bh>(b),
                )
            }
        }

        #[inline(always)]
        fn numbers(self, sums: __m512) -> [f32; LANES] {
            let mut numbers = [0.0; LANES];
            // SAFETY: a value of this type is only made where the processor has the features;
            // `numbers` is as long as a register.
            unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), sums) };
            numbers
        }
    }
}

/// The instruction in words, for tests, and so that there is a type where no processor has it.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod software {
    use super::{LANES, PairProducts, Pairs, Product, View};

    #[derive(Clone, Copy)]
    pub(in super::super) struct Software;

    #[expect(clippy::unused_self, reason = "the other type of this name needs it")]
    impl Software {
        #[cfg(not(target_arch = "x86_64"))]
        pub(in super::super) fn detect() -> Option<Self> {
            None
        }

        pub(in super::super) fn pack(
            self,
            panels: &mut Vec<u32>,
            matrix: View<'_>,
            shape: (usize, usize),
        ) {
            super::pack(panels, matrix, shape);
        }

        pub(in super::super) fn pairs<'a>(
            self,
            scratch: &'a mut Vec<u32>,
            a: View<'_>,
            shape: (usize, usize),
        ) -> Pairs<'a> {
            super::pairs(scratch, a, shape)
        }

        pub(in super::super) fn product(self, product: Product<'_>) {
            product.run(self);
        }
    }

    impl PairProducts for Software {
        type Sums = [f32; LANES];

        fn zero(self) -> [f32; LANES] {
            [0.0; LANES]
        }

        fn add(self, mut sums: [f32; LANES], a: u32, b: &[u32; LANES]) -> [f32; LANES] {
            let halves = |pair: u32| (f32::from_bits(pair << 16), f32::from_bits(pair >> 16 << 16));
            let (a_first, a_second) = halves(a);
            for (sum, b) in sums.iter_mut().zip(b) {
                let (first, second) = halves(*b);
                *sum += a_second * second;
                *sum += a_first * first;
            }
            sums
        }

        fn numbers(self, sums: [f32; LANES]) -> [f32; LANES] {
            sums
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{numbers, safe};
    use super::software::Software;
    use super::*;
    use crate::fused::matrix::Precision;

    type Factors<'a> = ((usize, usize, usize), View<'a>, View<'a>);

    fn by_software(part: Part, ((m, n, k), a, b): Factors<'_>, out: &mut [f32], add: bool) {
        let mut panels = Panels { rows: k, columns: n, ..Panels::default() };
        Software.pack(&mut panels.pairs, b, (k, n));
        let mut scratch = vec![];
        let a = Software.pairs(&mut scratch, a, (m, k));
        Software.product(Product { out, out_stride: n, add, m, a, b: &panels, part });
    }

    proptest! {
        /// Whole numbers this small are bf16 numbers, and their sums are exact.
        #[test]
        fn the_product_is_the_safe_one(
            (m, n, k) in (1..30_usize, 1..70_usize, 1..40_usize),
            (flip_a, flip_b, add) in any::<(bool, bool, bool)>(),
        ) {
            let (a, b) = (numbers(m * k, 37), numbers(n * k, 53));
            let a = if flip_a { View::rows(&a, m).transposed() } else { View::rows(&a, k) };
            let b = if flip_b { View::rows(&b, k).transposed() } else { View::rows(&b, n) };
            let [mut software, mut here, mut expected] = [(); 3].map(|()| vec![1.0; m * n]);
            safe((&mut expected, n, add), (m, n, k), a, b);
            by_software(Part::Whole, ((m, n, k), a, b), &mut software, add);
            prop_assert_eq!(&software, &expected);
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
                let [mut software, mut here, mut expected] = [(); 3].map(|()| vec![0.0; n * k]);
                safe((&mut expected, k, false), (n, k, n), a, b);
                by_software(part, ((n, k, n), a, b), &mut software, false);
                prop_assert_eq!(&software, &expected);
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
