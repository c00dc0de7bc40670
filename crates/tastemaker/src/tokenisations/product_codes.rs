//! Product quantisation.

use tastemaker_core::SeedTree;

use super::rq_kmeans::{k_means, nearest};

/// Centroids of parts of vectors: a vector of `width` numbers is cut into groups of neighbours, and
/// k-means is run over each group by itself (Jégou, Douze and Schmid 2011, *Product quantization for
/// nearest neighbor search*).
pub struct ProductQuantiser {
    width: usize,
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
        let rows: Vec<&[f32]> = values.chunks_exact(width).filter(|row| is_there(row)).collect();
        if rows.is_empty() {
            return Self { width, groups: vec![] };
        }
        let of_group = |group: usize| {
            let part = |row: &&[f32]| row[group * size..][..size].to_vec();
            let part: Vec<f32> = rows.iter().flat_map(part).collect();
            k_means(&part, size, codes, &seeds.index(group as u64)).0
        };
        Self { width, groups: (0..groups).map(of_group).collect() }
    }

    /// For each row of `values` [n, width] its code in each group; none for a row of zeros.
    pub fn codes(&self, values: &[f32]) -> Vec<Vec<u32>> {
        let size = self.width / self.groups.len().max(1);
        let mut codes: Vec<Vec<u32>> = vec![Vec::new(); values.len() / self.width];
        for (group, centroids) in self.groups.iter().enumerate() {
            let part = |row: &[f32]| row[group * size..][..size].to_vec();
            let part: Vec<f32> = values.chunks_exact(self.width).flat_map(part).collect();
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
}
