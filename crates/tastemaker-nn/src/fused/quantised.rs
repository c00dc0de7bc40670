//! Products with matrices that are kept in whole numbers of few bits.
//!
//! Where a model writes one token after the other, every product reads all of its weights for one
//! row, so that what counts is how many bytes they are.

use rayon::prelude::*;

use super::simd;

#[cfg(target_arch = "x86_64")]
mod x86;

/// A matrix [outputs, inputs] in which some neighbours of a row share a scale and, of four bits, an
/// offset: `w = scale · code + offset`. Those are llama.cpp's quantisations; what they stand for is kept
/// exactly, and factors are not rounded.
#[derive(Clone, Debug)]
pub struct Quantised {
    inputs: usize,
    codes: Codes,
    /// The scale of each block, row by row.
    scales: Vec<f32>,
    /// The offset of each block of codes of four bits.
    offsets: Vec<f32>,
}

/// The codes of the blocks, row by row.
#[derive(Clone, Debug)]
pub enum Codes {
    /// From 0 to 15, for blocks of 32: the first 16 in the low halves of 16 bytes, the others in
    /// the high ones.
    Four(Vec<[u8; 16]>),
    /// For blocks of 16.
    Eight16(Vec<[i8; 16]>),
    /// For blocks of 32.
    Eight32(Vec<[i8; 32]>),
}

/// The numbers of a matrix [outputs, inputs].
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    /// All of them, row by row.
    pub values: Vec<f32>,
    /// The same in codes, in matrices that stand one below the other; none if some have no codes.
    pub quantised: Vec<Quantised>,
}

impl Matrix {
    /// Matrices that stand one below the other.
    pub fn below(parts: impl IntoIterator<Item = Self>) -> Self {
        let (mut all, mut in_codes) = (Self::default(), true);
        for part in parts {
            in_codes &= !part.quantised.is_empty();
            all.values.extend(part.values);
            all.quantised.extend(part.quantised);
        }
        Self { quantised: if in_codes { all.quantised } else { Vec::new() }, ..all }
    }

    /// The same rows, of which there are `rows`, in another order.
    #[must_use]
    pub fn reordered(&self, rows: usize, order: &[usize]) -> Self {
        let n = self.values.len() / rows.max(1);
        let values = order.iter().flat_map(|row| &self.values[row * n..][..n]).copied().collect();
        let of = |codes: &Quantised| codes.reordered(order.iter().copied());
        Self { values, quantised: self.quantised.iter().map(of).collect() }
    }
}

impl From<Vec<f32>> for Matrix {
    fn from(values: Vec<f32>) -> Self {
        Self { values, quantised: Vec::new() }
    }
}

/// Rows up to which a product reads codes; for more, unpacking them once is less work.
pub(crate) const FEW: usize = 4;

/// Outputs that a task makes at least.
const OUTPUTS: usize = 32;

impl Quantised {
    /// Rows of so many `inputs`, which must be whole blocks.
    pub fn new(inputs: usize, codes: Codes, scales: Vec<f32>, offsets: Vec<f32>) -> Self {
        let new = Self { inputs, codes, scales, offsets };
        let n = match &new.codes {
            Codes::Four(codes) => codes.len(),
            Codes::Eight16(codes) => codes.len(),
            Codes::Eight32(codes) => codes.len(),
        };
        let with_offsets = if matches!(new.codes, Codes::Four(_)) { n } else { 0 };
        assert!(n == new.scales.len() && with_offsets == new.offsets.len(), "one of each a block");
        assert!(inputs.is_multiple_of(new.block()), "whole blocks");
        new
    }

    /// Numbers that share a scale.
    fn block(&self) -> usize {
        if matches!(self.codes, Codes::Eight16(_)) { 16 } else { 32 }
    }

    fn blocks(&self) -> usize {
        self.inputs / self.block()
    }

    /// How many rows it has.
    pub fn outputs(&self) -> usize {
        self.scales.len() / self.blocks().max(1)
    }

    /// The same rows in another order.
    #[must_use]
    pub fn reordered(&self, order: impl Iterator<Item = usize>) -> Self {
        fn pick<T: Copy>(of: &[T], order: &[usize], n: usize) -> Vec<T> {
            order.iter().flat_map(|row| of[row * n..][..n].iter().copied()).collect()
        }
        let (order, n) = (order.collect::<Vec<_>>(), self.blocks());
        let codes = match &self.codes {
            Codes::Four(codes) => Codes::Four(pick(codes, &order, n)),
            Codes::Eight16(codes) => Codes::Eight16(pick(codes, &order, n)),
            Codes::Eight32(codes) => Codes::Eight32(pick(codes, &order, n)),
        };
        let n_offsets = if self.offsets.is_empty() { 0 } else { n };
        let offsets = pick(&self.offsets, &order, n_offsets);
        Self { inputs: self.inputs, codes, scales: pick(&self.scales, &order, n), offsets }
    }

    /// Adds the numbers of row `i` to `to`.
    pub fn read_row(&self, i: usize, to: &mut Vec<f32>) {
        let blocks = i * self.blocks()..(i + 1) * self.blocks();
        for (block, scale) in blocks.clone().zip(&self.scales[blocks]) {
            let offset = self.offsets.get(block).copied().unwrap_or_default();
            let value = |code: f32| scale * code + offset;
            match &self.codes {
                Codes::Four(codes) => {
                    to.extend(codes[block].iter().map(|code| value(f32::from(code & 15))));
                    to.extend(codes[block].iter().map(|code| value(f32::from(code >> 4))));
                }
                Codes::Eight16(codes) => to.extend(codes[block].map(f32::from).map(value)),
                Codes::Eight32(codes) => to.extend(codes[block].map(f32::from).map(value)),
            }
        }
    }

    /// Products of the rows from `first` on with factors: `out` [rows of it, factors].
    #[inline(always)]
    fn stripe(&self, dots: impl Dots, first: usize, factors: &Factors<'_>, out: &mut [f32]) {
        let (n, rows) = (self.blocks(), factors.x.len() / self.inputs);
        for (row, out) in (first..).zip(out.chunks_exact_mut(rows)) {
            let at = row * n..(row + 1) * n;
            let scales = &self.scales[at.clone()];
            for (i, out) in out.iter_mut().enumerate() {
                let x = factors.x[i * self.inputs..][..self.inputs].as_chunks().0;
                *out = match &self.codes {
                    Codes::Four(codes) => {
                        let folded = &factors.folded[i * n..][..n];
                        let offsets = &self.offsets[at.clone()];
                        dots.four(&codes[at.clone()], (scales, offsets), (x, folded))
                    }
                    Codes::Eight16(codes) => dots.eight(&codes[at.clone()], scales, x),
                    Codes::Eight32(codes) => dots.eight(&codes[at.clone()], scales, x),
                };
            }
        }
    }
}

/// Sixteen numbers.
type Lanes = [f32; 16];

/// Sums of products of a row's numbers and factors.
trait Dots: Copy {
    /// Of blocks of 32 that are halves of bytes, with scales and offsets, with factors and what they
    /// are when each block's first 16 and last 16 are added up.
    fn four(self, codes: &[[u8; 16]], scales: (&[f32], &[f32]), x: (&[Lanes], &[Lanes])) -> f32;

    /// Of blocks of `N`.
    fn eight<const N: usize>(self, codes: &[[i8; N]], scales: &[f32], x: &[Lanes]) -> f32;
}

/// [`Dots`] without instructions of its own.
#[derive(Clone, Copy)]
struct Portable;

impl Dots for Portable {
    #[inline(always)]
    fn four(self, codes: &[[u8; 16]], scales: (&[f32], &[f32]), x: (&[Lanes], &[Lanes])) -> f32 {
        let mut lanes = [0.0; 16];
        let scales = scales.0.iter().zip(scales.1);
        let factors = x.0.as_chunks::<2>().0.iter().zip(x.1);
        for ((codes, (scale, offset)), (x, folded)) in codes.iter().zip(scales).zip(factors) {
            for i in 0..16 {
                let halves = [codes[i] & 15, codes[i] >> 4].map(f32::from);
                let part = halves[0] * x[0][i] + halves[1] * x[1][i];
                lanes[i] += scale * part + offset * folded[i];
            }
        }
        simd::sum(&lanes)
    }

    #[inline(always)]
    fn eight<const N: usize>(self, codes: &[[i8; N]], scales: &[f32], x: &[Lanes]) -> f32 {
        let mut lanes = [0.0; 16];
        for ((codes, scale), x) in codes.iter().zip(scales).zip(x.chunks_exact(N / 16)) {
            for (codes, x) in codes.as_chunks::<16>().0.iter().zip(x) {
                for i in 0..16 {
                    lanes[i] += scale * (f32::from(codes[i]) * x[i]);
                }
            }
        }
        simd::sum(&lanes)
    }
}

/// Rows that are multiplied with, and of each 32 of their numbers the first 16 plus the others.
#[derive(Clone, Copy)]
struct Factors<'a> {
    x: &'a [f32],
    folded: &'a [Lanes],
}

/// The products of rows `x` with the rows of matrices that stand one below the other: [rows of x,
/// outputs of all].
pub fn multiply_quantised(matrices: &[Quantised], x: &[f32]) -> Vec<f32> {
    let Some(inputs) = matrices.first().map(|matrix| matrix.inputs) else { return Vec::new() };
    let (rows, outputs) =
        (x.len() / inputs, matrices.iter().map(Quantised::outputs).sum::<usize>());
    super::counted::count(rows * outputs * inputs);
    let folded: Vec<Lanes> = x.as_chunks::<32>().0.iter().map(fold).collect();
    let factors = Factors { x, folded: &folded };
    let a_task = outputs.div_ceil(4 * rayon::current_num_threads()).max(OUTPUTS);
    let mut products = vec![0.0; rows * outputs];
    let (mut rest, mut tasks) = (&mut products[..], Vec::new());
    for matrix in matrices {
        let (own, others) = rest.split_at_mut(matrix.outputs() * rows);
        rest = others;
        let stripes = own.chunks_mut((a_task * rows).max(1)).enumerate();
        tasks.extend(stripes.map(|(i, out)| (matrix, i * a_task, out)));
    }
    tasks.into_par_iter().for_each(|(matrix, first, out)| stripe(matrix, first, &factors, out));
    if rows == 1 {
        return products;
    }
    (0..rows).flat_map(|row| products[row..].iter().step_by(rows).copied()).collect()
}

/// The first 16 numbers plus the others.
fn fold(x: &[f32; 32]) -> Lanes {
    std::array::from_fn(|i| x[i] + x[16 + i])
}

/// [`Quantised::stripe`] by the widest instructions of this machine.
fn stripe(matrix: &Quantised, first: usize, factors: &Factors<'_>, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return x86::run(simd, matrix, first, factors, out);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return x86::run(simd, matrix, first, factors, out);
        }
    }
    matrix.stripe(Portable, first, factors, out);
}
