//! Matrix products on slices.
//!
//! The right factor is packed into panels as wide as two registers, so that the inner loop reads
//! it in one stream; the left factor is read where it lies. A long inner dimension is gone through
//! in parts whose panels stay in the first cache. Every number of the product is the sum over the
//! inner dimension in an order that only the shape decides, so that neither the threads nor where a
//! matrix lies in memory change a result. (Goto and van de Geijn 2008, *Anatomy of
//! high-performance matrix multiplication*, for matrices that are already in the cache.)

mod kernel;
mod kernel_bf16;

use std::cell::RefCell;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::simd::vectorised;
use kernel_bf16::{Line, Native, Pairs};

/// What the factors of a matrix product are rounded to. Its sums are f32, and so is all else: the
/// weights that learn, norms, softmax and the residual stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// To nothing: 24 bits of precision.
    #[default]
    F32,
    /// To bfloat16, the upper half of an f32, to the nearest and to even between two: 8 bits of
    /// precision. Faster where the processor multiplies such numbers (AMX-BF16, AVX512-BF16);
    /// elsewhere the factors are rounded and multiplied as f32, which is slower than
    /// [`Precision::F32`].
    Bf16,
}

impl Precision {
    /// The machine's own instructions for factors of this precision, if it has any.
    fn native(self) -> Option<Native> {
        if self == Self::Bf16 { Native::detect() } else { None }
    }
}

/// A matrix that lies in a slice, in lines of its own rows or of its own columns.
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
    precision: Precision,
    /// The numbers, unless the machine multiplies them in pairs.
    values: Vec<f32>,
    pairs: Vec<Line>,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// Packs a matrix of `rows` × `columns`.
    pub(crate) fn new(precision: Precision, matrix: View<'_>, shape: (usize, usize)) -> Self {
        let mut panels = Self::default();
        panels.pack(precision, matrix, shape);
        panels
    }

    fn pairs(&self) -> &[u32] {
        bytemuck::cast_slice(&self.pairs)
    }

    /// What its products' factors are rounded to.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Its columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Packs another matrix into the same memory.
    fn pack(&mut self, precision: Precision, matrix: View<'_>, (rows, columns): (usize, usize)) {
        assert!(matrix.holds(rows, columns), "a factor is too small");
        (self.precision, self.rows, self.columns) = (precision, rows, columns);
        if let Some(native) = precision.native() {
            return native.pack(&mut self.pairs, matrix, (rows, columns));
        }
        let panels = &mut self.values;
        pulp::Arch::new().dispatch(kernel::Pack { panels, matrix, rows, columns });
        if precision == Precision::Bf16 {
            round_all(panels);
        }
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
    /// The columns from 0, of `n`, and how much of the range `inner` the rows `rows` need.
    #[inline(always)]
    fn needs(self, rows: &Range<usize>, n: usize, inner: Range<usize>) -> (usize, Range<usize>) {
        let Range { start, end } = inner;
        match self {
            Self::Whole => (n, inner),
            Self::LowerProduct => (n.min(rows.end), inner),
            Self::LowerFactor => (n, start..end.min(rows.end)),
            Self::UpperFactor => (n, end.min(rows.start)..end),
        }
    }
}

/// Bytes of a panel that stay in the first cache beside the left factor's rows.
const PANEL_BYTES: usize = 24 << 10;

/// The parts, as equal as can be, in which `n` rows of a panel of `width` numbers are gone through;
/// one, where the range to be gone through differs from row to row.
#[inline(always)]
fn inner_parts(part: Part, n: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let most = PANEL_BYTES / size_of::<f32>() / width;
    let parts = if part == Part::Whole { n.div_ceil(most).max(1) } else { 1 };
    let size = n.div_ceil(parts);
    (0..parts).map(move |i| n.min(i * size)..n.min((i + 1) * size))
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
    Precision::F32.multiply(Part::Whole, (out, out_stride), shape, a, b);
}

/// `out += a · b`, as [`multiply`].
pub fn multiply_add(
    out: &mut [f32],
    out_stride: usize,
    shape: (usize, usize, usize),
    a: View<'_>,
    b: View<'_>,
) {
    Precision::F32.multiply_add((out, out_stride), shape, a, b);
}

impl Precision {
    /// `out = a · b`, as [`multiply`], as far as `part` is wanted.
    pub(crate) fn multiply(
        self,
        part: Part,
        (out, out_stride): (&mut [f32], usize),
        (m, n, k): (usize, usize, usize),
        a: View<'_>,
        b: View<'_>,
    ) {
        with_panels(self, b, (k, n), |b| product((out, out_stride, false), m, a, b, part));
    }

    /// `out += a · b`, as [`multiply`].
    pub(crate) fn multiply_add(
        self,
        (out, out_stride): (&mut [f32], usize),
        (m, n, k): (usize, usize, usize),
        a: View<'_>,
        b: View<'_>,
    ) {
        with_panels(self, b, (k, n), |b| product((out, out_stride, true), m, a, b, Part::Whole));
    }
}

/// Calls `f` with a right factor, packed into the thread's own memory.
fn with_panels(precision: Precision, b: View<'_>, shape: (usize, usize), f: impl FnOnce(&Panels)) {
    thread_local! {
        static SCRATCH: RefCell<Panels> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|panels| {
        panels.pack(precision, b, shape);
        f(panels);
    });
}

/// `out = a · b` with a packed `b`, in its precision; `out += a · b` if `add`.
pub(crate) fn multiply_packed(
    (out, out_stride, add): (&mut [f32], usize, bool),
    m: usize,
    a: View<'_>,
    b: &Panels,
) {
    product((out, out_stride, add), m, a, b, Part::Whole);
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
    super::counted::count(if part == Part::Whole { m * n * k } else { m * n * k / 2 });
    if let Some(native) = b.precision.native() {
        return with_pairs(native, a, (m, k), |a| {
            native.product(kernel_bf16::Product { out, out_stride, add, m, a, b, part });
        });
    }
    let mut product = |a: View<'_>| {
        pulp::Arch::new().dispatch(kernel::Product { out, out_stride, add, m, a, b, part });
    };
    match b.precision {
        Precision::F32 => product(a),
        Precision::Bf16 => with_rounded(a, (m, k), product),
    }
}

/// Calls `f` with a copy of a left factor, rounded to bf16.
fn with_rounded(a: View<'_>, (rows, columns): (usize, usize), f: impl FnOnce(View<'_>)) {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = RefCell::default();
    }
    let flip = a.column_stride != 1;
    let (a, lines, length) =
        if flip { (a.transposed(), columns, rows) } else { (a, rows, columns) };
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        for line in 0..lines {
            let line = &a.values[line * a.row_stride..];
            scratch.extend(line.iter().step_by(a.column_stride).take(length));
        }
        round_all(scratch);
        let a = View::rows(scratch, length);
        f(if flip { a.transposed() } else { a });
    });
}

/// Calls `f` with the pairs of a left factor.
fn with_pairs(native: Native, a: View<'_>, shape: (usize, usize), f: impl FnOnce(Pairs<'_>)) {
    thread_local! {
        static SCRATCH: RefCell<Vec<Line>> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| f(native.pairs(scratch, a, shape)));
}

vectorised! {
    fn round_all<'a>(values: &'a mut [f32]) -> () = round_each;
}

#[inline(always)]
fn round_each(values: &mut [f32]) {
    for value in values {
        *value = f32::from_bits(bf16(*value) << 16);
    }
}

/// The bfloat16 nearest to `x`, the even one of two, in the lower half.
#[inline(always)]
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    // Rounding could turn what is not a number into one.
    (if x.is_nan() { bits | 0x0040_0000 } else { rounded }) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whole numbers, of which every sum is exact.
    pub(super) fn numbers(n: usize, step: usize) -> Vec<f32> {
        (0..n).map(|i| (i * step % 11) as f32 - 5.0).collect()
    }

    fn at(view: View<'_>, row: usize, column: usize) -> f32 {
        view.values[row * view.row_stride + column * view.column_stride]
    }

    pub(super) fn safe(
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
            let panels = Panels::new(Precision::F32, b, (k, n));
            multiply_packed((&mut packed, stride, add), m, a, &panels);
            prop_assert_eq!(packed, slow);
        }

        #[test]
        fn a_triangle_costs_half_and_is_the_same(n in 1..60usize, k in 1..20usize) {
            let (a, b) = (numbers(n * k, 37), numbers(n * k, 53));
            let (a, b) = (View::rows(&a, k), View::rows(&b, k));
            let (mut part, mut whole) = (vec![0.0; n * n], vec![0.0; n * n]);
            let product = (&mut part[..], n);
            Precision::F32.multiply(Part::LowerProduct, product, (n, n, k), a, b.transposed());
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
                Precision::F32.multiply(part, (&mut fast, k), (n, k, n), factor, b);
                multiply(&mut slow, k, (n, k, n), factor, b);
                prop_assert_eq!(fast, slow);
            }
        }
    }
}
