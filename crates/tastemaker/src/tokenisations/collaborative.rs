//! Where items stand among those that the same people have met.

use std::collections::HashMap;

use rand::Rng;
use rayon::prelude::*;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, SeedTree};

use crate::Result;
use crate::error::setting;
use crate::text::eigenvectors;

/// Products with the matrix whose results span the space in which eigenvectors are looked for, and
/// vectors beside those that are wanted: with both, what is found of catalogs of thousands of items
/// is the eigenvectors to four digits.
const PRODUCTS: usize = 12;
const BESIDE: usize = 8;

/// The spectral embedding of the items [items, width] by the training part: the eigenvectors of the
/// `width` largest eigenvalues of `D^{−1/2} C D^{−1/2}`, each row divided by its length. C counts the
/// users who have met both of two items, D is diagonal with C's sums. An item that nobody has met
/// with another is zeros.
///
/// # References
/// Ng, Jordan and Weiss 2001, *On spectral clustering*; the eigenvectors by a block Krylov space
/// (Musco and Musco 2015, *Randomized block Krylov methods*) and Rayleigh and Ritz.
pub fn spectral_embedding(
    data: &Dataset,
    split: &SplitSets,
    width: usize,
    seeds: &SeedTree,
) -> Result<Vec<f32>> {
    let rows = normalised(&together(data, split));
    let (n, mut rng) = (rows.len(), seeds.rng());
    let mut block: Vec<Vec<f64>> = (0..(width + BESIDE).min(n))
        .map(|_| (0..n).map(|_| rng.random_range(-1.0..1.0)).collect())
        .collect();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for _ in 0..PRODUCTS {
        block = orthonormalised(&basis, block);
        basis.extend(block.iter().cloned());
        block = block.par_iter().map(|vector| product(&rows, vector)).collect();
    }
    let vectors = largest(&rows, &basis, width)?;
    let mut embedding = Vec::with_capacity(n * width);
    for (item, row) in rows.iter().enumerate() {
        let mut values: Vec<f64> = vectors.iter().map(|vector| vector[item]).collect();
        values.resize(width, 0.0);
        let length = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let there = !row.is_empty() && length > 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "codes are found in f32")]
        embedding.extend(values.iter().map(|x| if there { (x / length) as f32 } else { 0.0 }));
    }
    Ok(embedding)
}

/// A row of the matrix: numbers of columns, and what stands there.
type Row = Vec<(u32, f64)>;

fn product(rows: &[Row], vector: &[f64]) -> Vec<f64> {
    let of = |row: &Row| row.iter().map(|(other, weight)| weight * vector[*other as usize]).sum();
    rows.iter().map(of).collect()
}

/// Of the space that `basis` spans, the vectors nearest to eigenvectors of the largest eigenvalues.
fn largest(rows: &[Row], basis: &[Vec<f64>], width: usize) -> Result<Vec<Vec<f64>>> {
    let n = basis.len();
    let images: Vec<Vec<f64>> = basis.par_iter().map(|vector| product(rows, vector)).collect();
    let entries: Vec<f64> =
        (0..n * n).into_par_iter().map(|i| dot(&basis[i / n], &images[i % n])).collect();
    // What rounding makes of two sides of a symmetric matrix must be the same.
    let symmetric = |i: usize, j: usize| entries[i.min(j) * n + i.max(j)];
    let axes = eigenvectors(n, symmetric)
        .ok_or_else(|| setting("who has met what", "not finite", "numbers"))?;
    let combined = |axis: &Vec<f64>| {
        let mut vector = vec![0.0; rows.len()];
        for (weight, of) in axis.iter().zip(basis) {
            vector.iter_mut().zip(of).for_each(|(x, y)| *x += weight * y);
        }
        vector
    };
    Ok(axes[..width.min(n)].iter().map(combined).collect())
}

/// For each item, the others that somebody has met beside it, by number, and how many people have.
fn together(data: &Dataset, split: &SplitSets) -> Vec<Row> {
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
        let mut row: Row = of.into_iter().collect();
        row.sort_unstable_by_key(|(other, _)| *other);
        row
    };
    counts.into_iter().map(sorted).collect()
}

/// Each count divided by the roots of both items' sums.
fn normalised(rows: &[Row]) -> Vec<Row> {
    let sum = |row: &Row| row.iter().map(|(_, count)| count).sum::<f64>();
    let roots: Vec<f64> = rows.iter().map(|row| sum(row).sqrt()).collect();
    let divided = |(item, row): (usize, &Row)| {
        let by =
            |&(other, count): &(u32, f64)| (other, count / roots[item] / roots[other as usize]);
        row.iter().map(by).collect()
    };
    rows.iter().enumerate().map(divided).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Vectors of length 1 at right angles to each other and to `basis` that span, together with it, what
/// `block` does (Gram and Schmidt, modified, twice); one that depends on those before is left out.
fn orthonormalised(basis: &[Vec<f64>], block: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for mut vector in block {
        let first = dot(&vector, &vector).sqrt();
        for other in basis.iter().chain(&kept).chain(basis).chain(&kept) {
            let along = dot(&vector, other);
            vector.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
        }
        let length = dot(&vector, &vector).sqrt();
        if length > 1e-9 * first {
            kept.push(vector.into_iter().map(|x| x / length).collect());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use tastemaker_core::splits::{LeaveLastOut, Split};
    use tastemaker_core::{Interactions, ItemId};

    use super::*;

    /// 300 items, of which each user meets some that are near each other, and one that nobody meets.
    #[test]
    fn embeddings_are_those_of_numpy() {
        let n = 300_u32;
        let of = |user: u32| {
            (0..14)
                .map(|i| ItemId((user * 37 + i * i + i * (user % 3)) % (n - 1)))
                .collect::<Vec<_>>()
        };
        let data = Dataset {
            users: (0..400).map(|user| user.to_string()).collect(),
            items: (0..n).map(|item| item.to_string()).collect(),
            interactions: Interactions::from_sequences((0..400).map(of)),
            ..Dataset::default()
        };
        let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
        let width = 12;
        // Whatever the signs are, the cosines of two rows are those of numpy (make_spectral.py).
        let golden: Vec<Vec<f64>> =
            serde_json::from_str(include_str!("../../tests/golden/spectral.json")).unwrap();
        for seed in 1..4 {
            let found = spectral_embedding(&data, &split, width, &SeedTree::new(seed)).unwrap();
            let row = |item: usize| &found[item * width..(item + 1) * width];
            for (i, expected) in golden.iter().enumerate() {
                for (j, expected) in expected.iter().enumerate() {
                    let products = row(i).iter().zip(row(j)).map(|(a, b)| f64::from(a * b));
                    let cosine: f64 = products.sum();
                    assert!((cosine - expected).abs() < 1e-3, "{i}, {j}: {cosine}, {expected}");
                }
            }
            assert!(row(299).iter().all(|x| *x == 0.0));
        }
    }

    #[test]
    fn small_catalogs_have_fewer_eigenvectors_than_are_asked_for() {
        let data = Dataset {
            users: (0..2).map(|user| user.to_string()).collect(),
            items: (0..4).map(|item| item.to_string()).collect(),
            interactions: Interactions::from_sequences(
                [[0, 1, 2, 3], [3, 2, 1, 0]].map(|s| s.map(ItemId).to_vec()),
            ),
            ..Dataset::default()
        };
        let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
        let found = spectral_embedding(&data, &split, 6, &SeedTree::new(1)).unwrap();
        assert!(found.len() == 24 && found.iter().all(|x| x.is_finite()), "{found:?}");
    }
}
