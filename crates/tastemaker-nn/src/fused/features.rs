//! Rows of a table that are made of the rows of another.

use rayon::prelude::*;

use super::RowGradients;
use super::catalog_softmax::add_scaled;
use super::simd::vectorised;

/// Rows that one task makes.
const ROWS: usize = 512;

/// Which rows of a table F [features, width] go into each of the first rows of a table E
/// [rows, width]:
///
/// `Eᵢ = Iᵢ + (1/√nᵢ) Σⱼ Fⱼ` over the nᵢ features j of row i,
///
/// where I is what a row has of its own. The first rows of E may have nothing of their own; then I
/// has only the last. A row without features is what it has of its own.
///
/// Divided by √n, and not by n as a mean is, a row begins as long with many features as with few:
/// the sum of n independent rows of one deviation has that deviation again. (The parameter p = ½ of
/// `StarSpace`, Wu et al. 2018.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Where the features of each row begin, and where the last ones end.
    starts: Vec<usize>,
    numbers: Vec<u32>,
    n: usize,
}

impl Features {
    /// The features of each row by their numbers, which are below `n`.
    pub fn new(of: &[Vec<u32>], n: usize) -> Self {
        let numbers = of.concat();
        debug_assert!(numbers.iter().all(|&number| (number as usize) < n), "features below n");
        let ends = of.iter().scan(0, |end, of| {
            *end += of.len();
            Some(*end)
        });
        Self { starts: std::iter::once(0).chain(ends).collect(), numbers, n }
    }

    /// How many features there are.
    pub fn n(&self) -> usize {
        self.n
    }

    /// How many rows there are that can have features.
    pub fn n_rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The features of `row`.
    #[inline]
    pub fn of(&self, row: usize) -> &[u32] {
        match self.starts.get(row..row + 2) {
            Some(&[start, end]) => &self.numbers[start..end],
            _ => &[],
        }
    }

    /// By how much the sum of `n` features is multiplied.
    #[inline(always)]
    pub(crate) fn share(n: usize) -> f32 {
        1.0 / (n as f32).sqrt()
    }

    /// The table E [rows, width] of I, `own`, and F, `features`.
    pub fn compose(&self, own: &[f32], features: &[f32], rows: usize, width: usize) -> Vec<f32> {
        let mut table = vec![0.0; rows * width];
        let without = table.len() - own.len();
        table[without..].copy_from_slice(own);
        table.par_chunks_mut(ROWS * width).enumerate().for_each(|(task, table)| {
            add_all(self, task * ROWS, features, width, table);
        });
        table
    }

    /// The gradient of F from that of the whole of E.
    pub fn of_whole(&self, table: &[f32], width: usize) -> Vec<f32> {
        let rows = (0..self.n_rows()).zip(table.chunks_exact(width));
        self.gather(rows, width).into_dense(self.n * width)
    }

    /// The gradient of F from that of some rows of E.
    pub fn of_rows(&self, gradients: &RowGradients, width: usize) -> RowGradients {
        let rows = gradients.rows.iter().map(|&row| row as usize);
        self.gather(rows.zip(gradients.values.chunks_exact(width)), width)
    }

    /// Adds up for each feature the gradients of its rows, in their order.
    fn gather<'g>(
        &self,
        rows: impl Iterator<Item = (usize, &'g [f32])>,
        width: usize,
    ) -> RowGradients {
        let (mut numbers, mut parts) = (Vec::new(), Vec::new());
        for (row, gradient) in rows {
            let of = self.of(row);
            numbers.extend_from_slice(of);
            parts.resize(numbers.len(), (Self::share(of.len()), gradient));
        }
        RowGradients::gather(self.n, width, &numbers, |entry, sum| {
            let (share, gradient) = parts[entry];
            add_scaled(sum, share, gradient);
        })
    }

    /// Adds their features to the rows from `first` on.
    #[inline(always)]
    fn add(&self, first: usize, features: &[f32], width: usize, table: &mut [f32]) {
        for (row, out) in (first..).zip(table.chunks_exact_mut(width)) {
            let of = self.of(row);
            for &number in of {
                let feature = &features[number as usize * width..][..width];
                add_scaled(out, Self::share(of.len()), feature);
            }
        }
    }
}

vectorised! {
    fn add_all<'a>(
        of: &'a Features,
        first: usize,
        features: &'a [f32],
        width: usize,
        table: &'a mut [f32],
    ) -> () = Features::add;
}
