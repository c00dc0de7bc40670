//! Rows of a table that stand in another order, which learns.

use rayon::prelude::*;

use super::catalog_softmax::add_scaled;
use super::matrix::{View, multiply};
use super::simd::{dot, exp, max, vectorised};

/// Times that rows, and then columns, are scaled.
pub(crate) const ITERATIONS: usize = 3;

/// By how much scores are divided.
pub(crate) const TEMPERATURE: f32 = 0.7;

/// The least number that is scaled: what is smaller has no part in a sum of others, and none may be 0.
/// That it goes no lower is left out of gradients.
pub(crate) const LEAST: f32 = 1e-20;

/// A permutation of the rows of each of `groups` parts of a table F [groups · size, width]:
///
/// `F' = P F`, where `P` takes from every row and every column of `S` one entry, rows with the largest
/// entries first, each the largest that is left; and `S = diag(u) K diag(v)` are the numbers
/// `K = exp(T / 0.7)` of the scores `T` [groups, size, size] after their rows and then their columns are
/// scaled to sum to 1, three times (Sinkhorn and Knopp 1967).
///
/// The gradient of `P` is taken for that of `S` (straight-through, Bengio et al. 2013), so that the scores
/// learn.
///
/// This is the permutation by which `VQ-Rec` (Hou et al. 2023) gives the codes of one catalog the
/// embeddings of another's, after Mena et al. 2018, with the temperature and the number of scalings of its
/// reference implementation. That one begins with scores ten times as large, adds Gumbel noise to them,
/// which is left out here, and takes the largest entry of each row, which can be in one column for
/// several; its gradient ends at a `ceil`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    groups: usize,
    size: usize,
}

impl Permutation {
    /// Of `groups` parts of `size` rows.
    pub fn new(groups: usize, size: usize) -> Self {
        Self { groups, size }
    }

    /// How the scores are laid out: [groups, size, size].
    pub fn dimensions(self) -> [usize; 3] {
        [self.groups, self.size, self.size]
    }

    /// For each row of F', the row of F that stands there.
    ///
    /// # Panics
    /// If there are more than 2³² rows.
    pub fn chosen(self, scores: &[f32]) -> Vec<u32> {
        let of_group = |(group, scores): (usize, &[f32])| {
            let first = u32::try_from(group * self.size).expect("rows in 32 bits");
            let scaled = scaled(scores, self.size).product();
            assigned(&scaled, self.size).into_iter().map(move |row| first + row)
        };
        scores.par_chunks(self.size * self.size).enumerate().flat_map_iter(of_group).collect()
    }

    /// F' [groups · size, width] of F, `rows`.
    pub fn permuted(chosen: &[u32], rows: &[f32], width: usize) -> Vec<f32> {
        let row = |&row: &u32| &rows[row as usize * width..][..width];
        chosen.iter().flat_map(row).copied().collect()
    }

    /// The gradient of F from that of F'.
    pub fn of_rows(chosen: &[u32], gradient: &[f32], width: usize) -> Vec<f32> {
        let mut of_rows = vec![0.0; gradient.len()];
        for (&row, gradient) in chosen.iter().zip(gradient.chunks_exact(width)) {
            of_rows[row as usize * width..][..width].copy_from_slice(gradient);
        }
        of_rows
    }

    /// The gradient of the scores from that of F', and F, `rows`.
    pub fn of_scores(
        self,
        scores: &[f32],
        (rows, gradient): (&[f32], &[f32]),
        width: usize,
    ) -> Vec<f32> {
        let size = self.size;
        let part = size * width;
        let groups = scores.par_chunks(size * size);
        let groups = groups.zip(rows.par_chunks(part).zip(gradient.par_chunks(part)));
        let of_group = |(scores, (rows, gradient))| {
            let mut of_product = vec![0.0; size * size];
            let rows = View::rows(rows, width).transposed();
            let shape = (size, size, width);
            multiply(&mut of_product, size, shape, View::rows(gradient, width), rows);
            backward(&scaled(scores, size), &mut of_product);
            of_product
        };
        groups.flat_map_iter(of_group).collect()
    }
}

/// One group's K, and by what its rows and columns were multiplied after each scaling.
struct Scaled {
    size: usize,
    k: Vec<f32>,
    rows: [Vec<f32>; ITERATIONS],
    columns: [Vec<f32>; ITERATIONS],
}

impl Scaled {
    #[inline(always)]
    fn new(scores: &[f32], size: usize) -> Self {
        let mut k = Vec::with_capacity(scores.len());
        for row in scores.chunks_exact(size) {
            // What all of a row is multiplied by is scaled away.
            let most = max(row);
            k.extend(row.iter().map(|score| exp((score - most) / TEMPERATURE).max(LEAST)));
        }
        let (mut rows, mut columns) =
            ([const { vec![] }; ITERATIONS], [const { vec![] }; ITERATIONS]);
        let mut of_columns = vec![1.0; size];
        for i in 0..ITERATIONS {
            rows[i] = by_rows(&k, &of_columns).into_iter().map(f32::recip).collect();
            of_columns = by_columns(&k, &rows[i]).into_iter().map(f32::recip).collect();
            columns[i].clone_from(&of_columns);
        }
        Self { size, k, rows, columns }
    }

    /// S.
    fn product(self) -> Vec<f32> {
        let Self { size, mut k, rows, columns } = self;
        for (row, by) in k.chunks_exact_mut(size).zip(&rows[ITERATIONS - 1]) {
            row.iter_mut().zip(&columns[ITERATIONS - 1]).for_each(|(k, column)| *k *= by * column);
        }
        k
    }

    /// Turns the gradient of S into that of the scores.
    #[inline(always)]
    fn backward(&self, gradient: &mut [f32]) {
        let (size, last) = (self.size, ITERATIONS - 1);
        let (mut of_rows, mut of_columns) = (vec![0.0; size], vec![0.0; size]);
        let parts = gradient.chunks_exact_mut(size).zip(self.k.chunks_exact(size));
        for (i, (gradient, k)) in parts.enumerate() {
            let by = self.rows[last][i];
            let columns =
                gradient.iter_mut().zip(k).zip(self.columns[last].iter().zip(&mut of_columns));
            for ((gradient, k), (column, of_column)) in columns {
                of_rows[i] += *gradient * k * column;
                *of_column += *gradient * k * by;
                *gradient *= by * column;
            }
        }
        let ones = vec![1.0; size];
        for i in (0..ITERATIONS).rev() {
            let (rows, columns) = (&self.rows[i], &self.columns[i]);
            // Of v = 1 / Kᵀu, and then of u = 1 / Kv with the v of before.
            for (of, column) in of_columns.iter_mut().zip(columns) {
                *of *= -column;
                *of *= column;
            }
            let through = by_rows(&self.k, &of_columns);
            for (j, of_row) in of_rows.iter_mut().enumerate() {
                *of_row = -(*of_row + through[j]) * rows[j] * rows[j];
            }
            let before = if i == 0 { &ones } else { &self.columns[i - 1] };
            for (row, gradient) in gradient.chunks_exact_mut(size).enumerate() {
                add_scaled(gradient, rows[row], &of_columns);
                add_scaled(gradient, of_rows[row], before);
            }
            if i > 0 {
                of_columns = by_columns(&self.k, &of_rows);
                of_rows.fill(0.0);
            }
        }
        for (gradient, k) in gradient.iter_mut().zip(&self.k) {
            *gradient *= k / TEMPERATURE;
        }
    }
}

vectorised! {
    fn scaled<'a>(scores: &'a [f32], size: usize) -> Scaled = Scaled::new;
}

vectorised! {
    fn backward<'a>(of: &'a Scaled, gradient: &'a mut [f32]) -> () = Scaled::backward;
}

/// K v.
#[inline(always)]
fn by_rows(k: &[f32], v: &[f32]) -> Vec<f32> {
    k.chunks_exact(v.len()).map(|row| dot(row, v)).collect()
}

/// Kᵀ u.
#[inline(always)]
fn by_columns(k: &[f32], u: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; u.len()];
    k.chunks_exact(u.len()).zip(u).for_each(|(row, u)| add_scaled(&mut sums, *u, row));
    sums
}

/// For each row of S [size, size] a column, each once: rows with the largest entries first take the largest
/// that is left, of equal ones the first.
fn assigned(scaled: &[f32], size: usize) -> Vec<u32> {
    let largest: Vec<f32> = scaled.chunks_exact(size).map(max).collect();
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| largest[b].total_cmp(&largest[a]));
    let (mut left, mut assigned) = (vec![true; size], vec![0; size]);
    for row in order {
        let entries = (0..).zip(&scaled[row * size..][..size]);
        let free = entries.filter(|(column, _)| left[*column as usize]);
        let best = free.reduce(|best, other| if other.1 > best.1 { other } else { best });
        let (column, _) = best.expect("as many columns as rows");
        left[column as usize] = false;
        assigned[row] = column;
    }
    assigned
}
