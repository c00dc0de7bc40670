//! Gradients of a table's rows, where only some rows have one.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::norm;

/// Rows of a table that one task adds to.
const ROWS: usize = 512;

/// The gradients of some rows of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowGradients {
    /// Which rows, ascending, each once.
    pub rows: Vec<u32>,
    /// Their gradients, row after row.
    pub values: Vec<f32>,
}

impl RowGradients {
    /// For every entry of `rows`, which are below `n_rows`, calls `add(entry, gradient)` with that
    /// row's gradient; a row's entries come in order, whatever the number of threads.
    pub fn gather(
        n_rows: usize,
        width: usize,
        rows: &[u32],
        add: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        // Entries are put in order of their row first (a counting sort), so that every task finds
        // its own without a look at the others'.
        let mut ends = vec![0_usize; n_rows + 1];
        for &row in rows {
            ends[row as usize + 1] += 1;
        }
        for row in 0..n_rows {
            ends[row + 1] += ends[row];
        }
        let mut next = ends.clone();
        let mut entries = vec![0_u32; rows.len()];
        for (entry, &row) in (0..).zip(rows) {
            entries[next[row as usize]] = entry;
            next[row as usize] += 1;
        }
        let distinct: Vec<u32> =
            (0..).zip(ends.windows(2)).filter(|(_, e)| e[0] < e[1]).map(|(row, _)| row).collect();
        let mut values = vec![0.0; distinct.len() * width];
        let tasks = values.par_chunks_mut(ROWS * width).zip(distinct.par_chunks(ROWS));
        tasks.for_each(|(values, rows)| {
            let (ends, entries, add) = (&ends[..], &entries[..], &add);
            pulp::Arch::new().dispatch(AddEntries { values, width, rows, ends, entries, add });
        });
        Self { rows: distinct, values }
    }

    /// Adds other gradients to these.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        if self.rows.is_empty() || other.rows.is_empty() {
            return if self.rows.is_empty() { other } else { self };
        }
        let width = self.values.len() / self.rows.len();
        let all = [&self.rows[..], &other.rows].concat();
        let n_rows = all.iter().max().map_or(0, |row| *row as usize + 1);
        let values = [&self.values[..], &other.values].concat();
        Self::gather(n_rows, width, &all, |entry, sum| {
            norm::add(sum, &values[entry * width..][..width]);
        })
    }

    /// Adds the gradients to their rows of a whole table's.
    pub fn add_to(&self, table: &mut [f32]) {
        let width = self.values.len() / self.rows.len().max(1);
        for (&row, values) in self.rows.iter().zip(self.values.chunks_exact(width.max(1))) {
            norm::add(&mut table[row as usize * width..][..width], values);
        }
    }

    /// Those of the rows from `first` on, which are numbered from 0 then.
    pub(crate) fn beginning_at(mut self, first: usize) -> Self {
        let at = self.rows.partition_point(|&row| (row as usize) < first);
        let width = self.values.len() / self.rows.len().max(1);
        self.rows.drain(..at);
        self.values.drain(..at * width);
        let first = u32::try_from(first).expect("a table has fewer than 2^32 rows");
        self.rows.iter_mut().for_each(|row| *row -= first);
        self
    }

    /// Multiplies all by a number.
    pub(crate) fn scale(&mut self, factor: f32) {
        super::catalog_softmax::scale(&mut self.values, factor);
    }

    /// The gradient of a whole table of `n` numbers.
    pub(crate) fn into_dense(self, n: usize) -> Vec<f32> {
        if self.values.len() == n {
            return self.values;
        }
        let mut table = vec![0.0; n];
        self.add_to(&mut table);
        table
    }
}

/// Adds every row's own entries to it.
struct AddEntries<'a, F> {
    values: &'a mut [f32],
    width: usize,
    rows: &'a [u32],
    ends: &'a [usize],
    entries: &'a [u32],
    add: &'a F,
}

impl<F: Fn(usize, &mut [f32])> WithSimd for AddEntries<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (out, &row) in self.values.chunks_exact_mut(self.width).zip(self.rows) {
            let ends = &self.ends[row as usize..];
            for &entry in &self.entries[ends[0]..ends[1]] {
                (self.add)(entry as usize, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_row_are_added_up() {
        let of = |rows: &[u32], step: f32| {
            RowGradients::gather(2000, 2, rows, |entry, out| {
                out[0] += 1.0;
                out[1] += entry as f32 * step;
            })
        };
        let sum = of(&[1999, 5, 700, 5], 1.0).merged(of(&[700, 3], 10.0));
        assert_eq!(sum.rows, [3, 5, 700, 1999]);
        assert_eq!(sum.values, [1.0, 10.0, 2.0, 4.0, 2.0, 2.0, 1.0, 0.0]);
        let last = sum.clone().beginning_at(700);
        assert_eq!((last.rows, last.values), (vec![0, 1299], vec![2.0, 2.0, 1.0, 0.0]));
        let dense = sum.into_dense(4000);
        assert_eq!(dense.iter().filter(|&&value| value != 0.0).count(), 7);
        assert_eq!(dense[1400..1402], [2.0, 2.0]);
    }
}
