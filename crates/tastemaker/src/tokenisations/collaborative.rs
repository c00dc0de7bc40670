//! Where items stand among those that the same people have met.

use std::collections::HashMap;

use rand::Rng;
use rayon::prelude::*;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, SeedTree};

/// Passes of the subspace iteration.
const PASSES: usize = 60;

/// The spectral embedding of the items [items, width] by the training part: the eigenvectors of the
/// `width` largest eigenvalues of `D^{−1/2} C D^{−1/2}`, each row divided by its length. C counts the
/// users who have met both of two items, D is diagonal with C's sums. An item that nobody has met
/// with another is zeros.
///
/// # References
/// Ng, Jordan and Weiss 2001, *On spectral clustering*; the eigenvectors by subspace iteration.
pub fn spectral_embedding(
    data: &Dataset,
    split: &SplitSets,
    width: usize,
    seeds: &SeedTree,
) -> Vec<f32> {
    let rows = normalised(&together(data, split));
    let (n, mut rng) = (rows.len(), seeds.rng());
    let mut basis: Vec<Vec<f64>> =
        (0..width).map(|_| (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
    orthonormalise(&mut basis);
    for _ in 0..PASSES {
        basis.par_iter_mut().for_each(|vector| {
            // Plus the vector itself: eigenvalues from −1 to 1 become those from 0 to 2, so that the
            // largest are found and not those far from 0.
            let product = |(row, own): (&Vec<(u32, f64)>, &f64)| {
                own + row
                    .iter()
                    .map(|(other, weight)| weight * vector[*other as usize])
                    .sum::<f64>()
            };
            *vector = rows.iter().zip(vector.iter()).map(product).collect();
        });
        orthonormalise(&mut basis);
    }
    let mut embedding = Vec::with_capacity(n * width);
    for (item, row) in rows.iter().enumerate() {
        let values: Vec<f64> = basis.iter().map(|vector| vector[item]).collect();
        let length = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let there = !row.is_empty() && length > 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "codes are found in f32")]
        embedding.extend(values.iter().map(|x| if there { (x / length) as f32 } else { 0.0 }));
    }
    embedding
}

/// For each item, the others that somebody has met beside it, by number, and how many people have.
fn together(data: &Dataset, split: &SplitSets) -> Vec<Vec<(u32, f64)>> {
    let mut counts: Vec<HashMap<u32, f64>> = vec![HashMap::new(); data.n_items()];
    for user in data.interactions.users() {
        let mut items = split.train(data, user).to_vec();
        items.sort_unstable();
        items.dedup();
        for item in &items {
            let others = items.iter().filter(|other| *other != item);
            others.for_each(|other| *counts[item.index()].entry(other.0).or_default() += 1.0);
        }
    }
    let sorted = |of: HashMap<u32, f64>| {
        let mut row: Vec<(u32, f64)> = of.into_iter().collect();
        row.sort_unstable_by_key(|(other, _)| *other);
        row
    };
    counts.into_iter().map(sorted).collect()
}

/// Each count divided by the roots of both items' sums.
fn normalised(rows: &[Vec<(u32, f64)>]) -> Vec<Vec<(u32, f64)>> {
    let sum = |row: &Vec<(u32, f64)>| row.iter().map(|(_, count)| count).sum::<f64>();
    let roots: Vec<f64> = rows.iter().map(|row| sum(row).sqrt()).collect();
    let divided = |(item, row): (usize, &Vec<(u32, f64)>)| {
        let by =
            |&(other, count): &(u32, f64)| (other, count / roots[item] / roots[other as usize]);
        row.iter().map(by).collect()
    };
    rows.iter().enumerate().map(divided).collect()
}

/// Vectors of length 1 at right angles that span the same (Gram and Schmidt, modified). One that
/// depends on those before becomes zeros.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for i in 0..basis.len() {
        let (before, rest) = basis.split_at_mut(i);
        let vector = &mut rest[0];
        let first = dot(vector, vector).sqrt();
        for other in before {
            let along = dot(vector, other);
            vector.iter_mut().zip(&*other).for_each(|(x, y)| *x -= along * y);
        }
        let length = dot(vector, vector).sqrt();
        let factor = if length > 1e-12 * first { 1.0 / length } else { 0.0 };
        for x in vector.iter_mut() {
            *x *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use tastemaker_core::splits::{LeaveLastOut, Split};
    use tastemaker_core::{Interactions, ItemId};

    use super::*;

    /// Items of a circle, each user's four of which stand side by side, an item that nobody meets,
    /// and numpy's eigenvectors of the same matrix.
    #[test]
    fn embeddings_span_what_numpy_finds() {
        let n = 9;
        let of = |user: u32| (0..6).map(|i| ItemId((user + i) % 8)).collect::<Vec<_>>();
        let data = Dataset {
            users: (0..12).map(|user| user.to_string()).collect(),
            items: (0..n).map(|item| item.to_string()).collect(),
            interactions: Interactions::from_sequences((0..12).map(of)),
            ..Dataset::default()
        };
        let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
        let width = 3;
        let found = spectral_embedding(&data, &split, width, &SeedTree::new(2));
        // Whatever the basis is, the cosines of two rows are those of numpy (golden/spectral.py).
        let golden: Vec<Vec<f64>> =
            serde_json::from_str(include_str!("../../tests/golden/spectral.json")).unwrap();
        let row = |item: usize| &found[item * width..(item + 1) * width];
        for (i, expected) in golden.iter().enumerate() {
            for (j, expected) in expected.iter().enumerate() {
                let cosine: f64 =
                    row(i).iter().zip(row(j)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                assert!((cosine - expected).abs() < 1e-3, "{i}, {j}: {cosine}, {expected}");
            }
        }
        assert!(row(8).iter().all(|x| *x == 0.0));
    }
}
