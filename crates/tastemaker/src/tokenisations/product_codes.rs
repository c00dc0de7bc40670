//! Product quantisation.

use std::ops::Range;

use tastemaker_core::SeedTree;
use tastemaker_nn::fused::{View, multiply};

use super::rq_kmeans::{k_means, lloyd, nearest};
use crate::Result;
use crate::text::nearest_rotation;

/// Times that a rotation is found anew from the centroids, and these from it.
const ROUNDS: usize = 50;

/// Passes of k-means between two rotations.
const PASSES: usize = 4;

/// Centroids of parts of vectors: a vector of `width` numbers is cut into groups of neighbours, and
/// k-means is run over each group by itself (Jégou, Douze and Schmid 2011, *Product quantization for
/// nearest neighbor search*); where asked for, vectors are rotated before, so that the centroids are
/// nearer (Ge et al. 2013, *Optimized product quantization*, without its parametric beginning).
pub struct ProductQuantiser {
    width: usize,
    /// [width, width], by which rows are multiplied, if they are.
    rotation: Option<Vec<f32>>,
    /// For each group, [codes, width of a group].
    groups: Vec<Vec<f32>>,
}

impl ProductQuantiser {
    /// Finds the centroids of `values` [n, width]; rows of zeros, which stand for nothing, are left
    /// out. Where there are no others, nothing has a code.
    ///
    /// # Panics
    /// If the width is no multiple of the number of groups.
    pub fn fit(
        values: &[f32],
        width: usize,
        (groups, codes): (usize, usize),
        seeds: &SeedTree,
    ) -> Self {
        assert!(width.is_multiple_of(groups), "whole groups");
        let size = width / groups;
        let rows = rows_there(values, width);
        if rows.is_empty() {
            return Self { width, rotation: None, groups: vec![] };
        }
        let of_group = |group: usize| {
            let part = part(&rows, width, group * size..(group + 1) * size);
            k_means(&part, size, codes, &seeds.index(group as u64)).0
        };
        Self { width, rotation: None, groups: (0..groups).map(of_group).collect() }
    }

    /// [`ProductQuantiser::fit`] of vectors that are rotated before: in turns, the rotation with which the
    /// vectors are nearest to their centroids, and the centroids of the rotated vectors.
    ///
    /// # Errors
    /// If not all of `values` are finite.
    ///
    /// # Panics
    /// As [`ProductQuantiser::fit`].
    pub fn fit_rotated(
        values: &[f32],
        width: usize,
        counts: (usize, usize),
        seeds: &SeedTree,
    ) -> Result<Self> {
        let mut quantiser = Self::fit(values, width, counts, seeds);
        let rows = rows_there(values, width);
        if rows.is_empty() {
            return Ok(quantiser);
        }
        let n = rows.len() / width;
        for _ in 0..ROUNDS {
            let turned = quantiser.rotated(&rows);
            let again = quantiser.improved(&turned);
            let mut product = vec![0.0; width * width];
            let shape = (width, width, n);
            let rows = View::rows(&rows, width).transposed();
            multiply(&mut product, width, shape, rows, View::rows(&again, width));
            quantiser.rotation = Some(nearest_rotation(&product, width)?);
        }
        let turned = quantiser.rotated(&rows);
        quantiser.improved(&turned);
        Ok(quantiser)
    }

    /// Moves the centroids towards rotated `rows`; what their codes stand for: [n, width].
    fn improved(&mut self, rows: &[f32]) -> Vec<f32> {
        let (width, size) = (self.width, self.width / self.groups.len());
        let mut again = vec![0.0; rows.len()];
        for (group, centroids) in self.groups.iter_mut().enumerate() {
            let own = group * size..(group + 1) * size;
            let codes = lloyd(&part(rows, width, own.clone()), size, centroids, PASSES);
            for (row, code) in again.chunks_exact_mut(width).zip(codes) {
                row[own.clone()].copy_from_slice(&centroids[code as usize * size..][..size]);
            }
        }
        again
    }

    fn rotated(&self, values: &[f32]) -> Vec<f32> {
        let Some(rotation) = &self.rotation else { return values.to_vec() };
        let (width, n) = (self.width, values.len() / self.width);
        let mut rotated = vec![0.0; values.len()];
        let by = View::rows(rotation, width);
        multiply(&mut rotated, width, (n, width, width), View::rows(values, width), by);
        rotated
    }

    /// For each row of `values` [n, width] its code in each group; none for a row of zeros.
    pub fn codes(&self, values: &[f32]) -> Vec<Vec<u32>> {
        let size = self.width / self.groups.len().max(1);
        let mut codes: Vec<Vec<u32>> = vec![Vec::new(); values.len() / self.width];
        let rotated = self.rotated(values);
        for (group, centroids) in self.groups.iter().enumerate() {
            let part = part(&rotated, self.width, group * size..(group + 1) * size);
            for (own, code) in codes.iter_mut().zip(nearest(&part, centroids, size)) {
                own.push(code);
            }
        }
        for (own, row) in codes.iter_mut().zip(values.chunks_exact(self.width)) {
            if !is_there(row) {
                own.clear();
            }
        }
        codes
    }
}

/// These numbers of each of `rows` [n, width].
fn part(rows: &[f32], width: usize, own: Range<usize>) -> Vec<f32> {
    rows.chunks_exact(width).flat_map(|row| &row[own.clone()]).copied().collect()
}

/// Those of the rows of `values` that stand for something.
fn rows_there(values: &[f32], width: usize) -> Vec<f32> {
    values.chunks_exact(width).filter(|row| is_there(row)).flatten().copied().collect()
}

fn is_there(row: &[f32]) -> bool {
    row.iter().any(|value| *value != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_find_their_own_corners_and_zeros_none() {
        // Four points at two corners of each of two groups, and one that stands for nothing.
        let at = |a: f32, b: f32| [a, a + 0.1, b, b - 0.1];
        let values = [at(1.0, 1.0), at(1.0, 9.0), at(9.0, 1.0), at(9.1, 9.1), [0.0; 4]].concat();
        for seed in 0..5 {
            let quantiser = ProductQuantiser::fit(&values, 4, (2, 2), &SeedTree::new(seed));
            let codes = quantiser.codes(&values);
            assert!(codes[0][0] == codes[1][0] && codes[2][0] == codes[3][0], "{codes:?}");
            assert!(codes[0][1] == codes[2][1] && codes[1][1] == codes[3][1], "{codes:?}");
            assert!(codes[0][0] != codes[2][0] && codes[0][1] != codes[1][1], "{codes:?}");
            assert!(codes[4].is_empty());
            // What was not there before is put to what is nearest.
            assert_eq!(quantiser.codes(&at(8.0, 2.0)), [vec![codes[2][0], codes[2][1]]]);
        }
    }

    #[derive(serde::Deserialize)]
    struct Golden {
        values: Vec<f32>,
        plain: f64,
        rotated: f64,
    }

    /// The mean squared distance of vectors from what their codes stand for.
    fn distance(mut quantiser: ProductQuantiser, values: &[f32]) -> f64 {
        let rotated = quantiser.rotated(values);
        let again = quantiser.improved(&rotated);
        let squares = rotated.iter().zip(again).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>() / (values.len() / quantiser.width) as f64
    }

    #[test]
    fn rotated_vectors_are_as_near_to_their_codes_as_in_faiss() {
        let golden = include_str!("../../tests/golden/product_codes.json");
        let Golden { values, plain, rotated } = serde_json::from_str(golden).unwrap();
        for seed in 0..3 {
            let (counts, seeds) = ((4, 8), SeedTree::new(seed));
            let fitted = ProductQuantiser::fit_rotated(&values, 16, counts, &seeds).unwrap();
            let rotation = fitted.rotation.as_ref().unwrap();
            let column = |i: usize| rotation.iter().skip(i).step_by(16);
            for (i, j) in [(0, 0), (3, 3), (0, 5), (7, 8)] {
                let product: f32 = column(i).zip(column(j)).map(|(a, b)| a * b).sum();
                assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5, "{product}");
            }
            let own = ProductQuantiser::fit(&values, 16, counts, &seeds);
            let [own, with] = [own, fitted].map(|quantiser| distance(quantiser, &values));
            assert!(own < 1.05 * plain, "{own}, by faiss {plain}");
            assert!(with < 1.05 * rotated && with < 0.9 * own, "{with}, by faiss {rotated}");
        }
        // Of nothing, nothing.
        let nothing = ProductQuantiser::fit_rotated(&[0.0; 16], 16, (4, 8), &SeedTree::new(1));
        assert_eq!(nothing.unwrap().codes(&[0.0; 16]), [Vec::<u32>::new()]);
    }
}
