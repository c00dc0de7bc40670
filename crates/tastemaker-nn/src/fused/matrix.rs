//! Matrix products on slices.
//!
//! The right factor is packed into panels as wide as two registers, so that the inner loop reads
//! it in one stream; the left factor is read where it lies. Every number of the product is the
//! sum over the inner dimension in its order, so that neither the threads nor where a matrix lies
//! in memory change a result. (Goto and van de Geijn 2008, *Anatomy of high-performance matrix
//! multiplication*, for matrices that are already in the cache.)

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};

/// A matrix that lies in a slice with any strides.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A matrix whose rows begin `row_stride` apart.
    pub fn rows(values: &'a [f32], row_stride: usize) -> Self {
        Self { values, row_stride, column_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// A right factor, packed once for many products.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panels {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// Packs a matrix of `rows` × `columns`.
    pub(crate) fn new(matrix: View<'_>, (rows, columns): (usize, usize)) -> Self {
        let mut panels = Self::default();
        panels.pack(matrix, (rows, columns));
        panels
    }

    /// Packs another matrix into the same memory.
    pub(crate) fn pack(&mut self, matrix: View<'_>, (rows, columns): (usize, usize)) {
        assert!(matrix.holds(rows, columns), "a factor is too small");
        (self.rows, self.columns) = (rows, columns);
        pulp::Arch::new().dispatch(Pack { panels: &mut self.values, matrix, rows, columns });
    }
}

/// Which part of a product is wanted, where a factor or the product is triangular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// Nothing right of the diagonal; what stands there afterwards is of no meaning.
    LowerProduct,
    /// The left factor is zero right of the diagonal.
    LowerFactor,
    /// The left factor is zero left of the diagonal.
    UpperFactor,
}

impl Part {
    /// The columns from 0 and the inner range that the rows `rows` of `n` and `k` need.
    #[inline(always)]
    fn needs(self, rows: &Range<usize>, n: usize, k: usize) -> (usize, Range<usize>) {
        match self {
            Self::Whole => (n, 0..k),
            Self::LowerProduct => (n.min(rows.end), 0..k),
            Self::LowerFactor => (n, 0..k.min(rows.end)),
            Self::UpperFactor => (n, k.min(rows.start)..k),
        }
    }
}

/// `out = a · b`, with `out` of `m` × `n` in rows `out_stride` apart, `a` of `m` × `k` and `b` of
/// `k` × `n`; on the calling thread.
pub fn multiply(
    out: &mut [f32],
    out_stride: usize,
    shape: (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
) {
    multiply_part(Part::Whole, out, out_stride, shape, a, b);
}

/// `out = a · b`, as [`multiply`], as far as `part` is wanted.
pub(crate) fn multiply_part(
    part: Part,
    out: &mut [f32],
    out_stride: usize,
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
) {
    with_scratch(b, (k, n), |b| product((out, out_stride, false), m, a, b, part));
}

/// `out += a · b`, as [`multiply`].
pub fn multiply_add(
    out: &mut [f32],
    out_stride: usize,
    (m, n, k): (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
) {
    with_scratch(b, (k, n), |b| product((out, out_stride, true), m, a, b, Part::Whole));
}

/// `out = a · b` with a packed `b`; `out += a · b` if `add`.
pub(crate) fn multiply_packed(
    (out, out_stride, add): (&mut [f32], usize, bool),
    m: usize,
    a: View<'_>,
    b: &Panels,
) {
    product((out, out_stride, add), m, a, b, Part::Whole);
}

fn with_scratch(b: View<'_>, shape: (usize, usize), f: impl FnOnce(&Panels)) {
    thread_local! {
        static SCRATCH: RefCell<Panels> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|panels| {
        panels.pack(b, shape);
        f(panels);
    });
}

fn product(
    (out, out_stride, add): (&mut [f32], usize, bool),
    m: usize,
    a: View<'_>,
    b: &Panels,
    part: Part,
) {
    let (n, k) = (b.columns, b.rows);
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= out_stride && (m - 1) * out_stride + n <= out.len(), "out is too small");
    assert!(a.holds(m, k), "a factor is too small");
    pulp::Arch::new().dispatch(Product { out, out_stride, add, m, a, b, part });
}

/// Registers of a panel's row.
const REGISTERS: usize = 2;

struct Pack<'a> {
    panels: &'a mut Vec<f32>,
    matrix: View<'a>,
    rows: usize,
    columns: usize,
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

struct Product<'a> {
    out: &'a mut [f32],
    out_stride: usize,
    add: bool,
    m: usize,
    a: View<'a>,
    b: &'a Panels,
    part: Part,
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
        for panel in 0..n.div_ceil(width) {
            for start in (0..m).step_by(M) {
                let rows = start..m.min(start + M);
                let (wanted, inner) = self.part.needs(&rows, n, k);
                let columns = panel * width..n.min((panel + 1) * width);
                if columns.start < wanted {
                    self.tile::<S, M>(simd, rows, columns, inner);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whole numbers, of which every sum is exact.
    fn numbers(n: usize, step: usize) -> Vec<f32> {
        (0..n).map(|i| (i * step % 11) as f32 - 5.0).collect()
    }

    fn at(view: View<'_>, row: usize, column: usize) -> f32 {
        view.values[row * view.row_stride + column * view.column_stride]
    }

    fn safe(
        (out, stride, add): (&mut [f32], usize, bool),
        (m, n, k): (usize, usize, usize),
        a: View<'_>,
        b: View<'_>,
    ) {
        for i in 0..m {
            for j in 0..n {
                let sum = (0..k).map(|x| at(a, i, x) * at(b, x, j)).sum::<f32>();
                out[i * stride + j] = sum + if add { out[i * stride + j] } else { 0.0 };
            }
        }
    }

    proptest! {
        #[test]
        fn the_product_is_the_safe_one(
            (m, n, k) in (0..30usize, 0..70usize, 0..40usize),
            gap in 0..3usize,
            (flip_a, flip_b, add) in any::<(bool, bool, bool)>(),
        ) {
            let (a, b) = (numbers(m * k, 37), numbers(n * k, 53));
            let a = if flip_a { View::rows(&a, m).transposed() } else { View::rows(&a, k) };
            let b = if flip_b { View::rows(&b, k).transposed() } else { View::rows(&b, n) };
            let stride = n + gap;
            let (mut fast, mut slow) = (vec![1.0; m * stride], vec![1.0; m * stride]);
            safe((&mut slow, stride, add), (m, n, k), a, b);
            if add {
                multiply_add(&mut fast, stride, (m, n, k), a, b);
            } else {
                multiply(&mut fast, stride, (m, n, k), a, b);
            }
            prop_assert_eq!(&fast, &slow);
            let mut packed = vec![1.0; m * stride];
            multiply_packed((&mut packed, stride, add), m, a, &Panels::new(b, (k, n)));
            prop_assert_eq!(packed, slow);
        }

        #[test]
        fn a_triangle_costs_half_and_is_the_same(n in 1..60usize, k in 1..20usize) {
            let (a, b) = (numbers(n * k, 37), numbers(n * k, 53));
            let (a, b) = (View::rows(&a, k), View::rows(&b, k));
            let (mut part, mut whole) = (vec![0.0; n * n], vec![0.0; n * n]);
            multiply_part(Part::LowerProduct, &mut part, n, (n, n, k), a, b.transposed());
            multiply(&mut whole, n, (n, n, k), a, b.transposed());
            for row in 0..n {
                part[row * n + row + 1..(row + 1) * n].fill(0.0);
                whole[row * n + row + 1..(row + 1) * n].fill(0.0);
            }
            prop_assert_eq!(&part, &whole);
            let lower = View::rows(&whole, n);
            for (part, factor) in
                [(Part::LowerFactor, lower), (Part::UpperFactor, lower.transposed())]
            {
                let (mut fast, mut slow) = (vec![0.0; n * k], vec![0.0; n * k]);
                multiply_part(part, &mut fast, k, (n, k, n), factor, b);
                multiply(&mut slow, k, (n, k, n), factor, b);
                prop_assert_eq!(fast, slow);
            }
        }
    }
}
