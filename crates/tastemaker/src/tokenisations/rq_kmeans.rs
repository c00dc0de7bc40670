//! Residual k-means.

use rand::Rng;
use rayon::prelude::*;
use tastemaker_core::SeedTree;
use tastemaker_nn::fused::{View, multiply};

/// Passes of k-means at most.
const PASSES: usize = 50;

/// Rows that one task puts to their centroids.
const ROWS: usize = 256;

/// For each level the code of each of `values` [n, width]: the nearest centroid of what the levels
/// before have left of it.
pub fn residual_codes(
    values: Vec<f32>,
    width: usize,
    (levels, codes): (usize, usize),
    seeds: &SeedTree,
) -> Vec<Vec<u32>> {
    let levels = residual_means(values, width, (levels, codes), seeds);
    levels.into_iter().map(|(_, own)| own).collect()
}

/// [`residual_codes`] with the centroids of each level: [codes, width].
pub(super) fn residual_means(
    mut values: Vec<f32>,
    width: usize,
    (levels, codes): (usize, usize),
    seeds: &SeedTree,
) -> Vec<(Vec<f32>, Vec<u32>)> {
    let mut of_levels = Vec::with_capacity(levels);
    for level in 0..levels as u64 {
        let (centroids, own) = k_means(&values, width, codes, &seeds.index(level));
        for (row, &code) in values.chunks_exact_mut(width).zip(&own) {
            let centroid = &centroids[code as usize * width..][..width];
            row.iter_mut().zip(centroid).for_each(|(value, centre)| *value -= centre);
        }
        of_levels.push((centroids, own));
    }
    of_levels
}

/// Centroids [k, width], and the nearest one of each row; Lloyd's algorithm from k-means++'s
/// beginning (Arthur and Vassilvitskii 2007). A centroid that no row is nearest to stays where it is.
pub(super) fn k_means(
    values: &[f32],
    width: usize,
    k: usize,
    seeds: &SeedTree,
) -> (Vec<f32>, Vec<u32>) {
    let mut centroids = beginning(values, width, k, seeds);
    let own = lloyd(values, width, &mut centroids, PASSES);
    (centroids, own)
}

/// The nearest centroid of each row, after at most so many passes of Lloyd's algorithm from these
/// `centroids` [k, width] on.
pub(super) fn lloyd(
    values: &[f32],
    width: usize,
    centroids: &mut [f32],
    passes: usize,
) -> Vec<u32> {
    let k = centroids.len() / width;
    let mut own = nearest(values, centroids, width);
    for _ in 0..passes {
        let (mut sums, mut counts) = (vec![0.0_f64; k * width], vec![0_u32; k]);
        for (row, &code) in values.chunks_exact(width).zip(&own) {
            counts[code as usize] += 1;
            let sum = &mut sums[code as usize * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let rows = centroids.chunks_exact_mut(width).zip(sums.chunks_exact(width));
        for ((centroid, sum), &count) in rows.zip(&counts).filter(|(_, count)| **count > 0) {
            for (centre, sum) in centroid.iter_mut().zip(sum) {
                #[expect(clippy::cast_possible_truncation, reason = "embeddings are f32")]
                let mean = (sum / f64::from(count)) as f32;
                *centre = mean;
            }
        }
        let again = nearest(values, centroids, width);
        if again == own {
            break;
        }
        own = again;
    }
    own
}

/// Rows drawn one after the other, each by its squared distance from the nearest one before.
fn beginning(values: &[f32], width: usize, k: usize, seeds: &SeedTree) -> Vec<f32> {
    let mut rng = seeds.rng();
    let n = values.len() / width;
    let row = |at: usize| &values[at * width..(at + 1) * width];
    let mut centroids = row(rng.random_range(0..n)).to_vec();
    let mut distances = vec![f64::INFINITY; n];
    for _ in 1..k {
        let last = &centroids[centroids.len() - width..];
        distances.par_iter_mut().enumerate().for_each(|(at, distance)| {
            let squares = row(at).iter().zip(last).map(|(a, b)| f64::from(a - b).powi(2));
            *distance = distance.min(squares.sum());
        });
        let mut left = rng.random::<f64>() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // All rows are centroids already: any will do.
        let drawn = drawn.unwrap_or_else(|| rng.random_range(0..n));
        centroids.extend_from_slice(row(drawn));
    }
    centroids
}

/// The centroid nearest to each row, the first of equal ones.
pub(super) fn nearest(values: &[f32], centroids: &[f32], width: usize) -> Vec<u32> {
    let k = centroids.len() / width;
    let half_square = |centroid: &[f32]| centroid.iter().map(|x| x * x).sum::<f32>() / 2.0;
    let half_squares: Vec<f32> = centroids.chunks_exact(width).map(half_square).collect();
    let of = |rows: &[f32]| -> Vec<u32> {
        let n = rows.len() / width;
        let mut products = vec![0.0; n * k];
        let centroids = View::rows(centroids, width).transposed();
        multiply(&mut products, k, (n, k, width), View::rows(rows, width), centroids);
        // ‖x − c‖² is least where x · c − ‖c‖² / 2 is most.
        let best = |products: &[f32]| {
            let mut best = (0, f32::NEG_INFINITY);
            for (code, (product, half)) in (0..).zip(products.iter().zip(&half_squares)) {
                if product - half > best.1 {
                    best = (code, product - half);
                }
            }
            best.0
        };
        products.chunks_exact(k).map(best).collect()
    };
    values.par_chunks(ROWS * width).flat_map_iter(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points near the corners of a square, four of them at each, which stand a little apart.
    fn corners() -> Vec<f32> {
        let corner = |i: u32| [(i % 2) as f32 * 10.0, (i / 2) as f32 * 10.0];
        let near = |i: u32| [(i % 2) as f32 * 0.5, (i / 2) as f32 * 0.5];
        let point = |i: u32| {
            let ([a, b], [c, d]) = (corner(i / 4), near(i % 4));
            [a + c, b + d]
        };
        (0..16).flat_map(point).collect()
    }

    #[test]
    fn levels_find_corners_first_and_places_within_them_next() {
        for seed in 0..5 {
            let found = residual_codes(corners(), 2, (2, 4), &SeedTree::new(seed));
            let distinct = |codes: &mut Vec<u32>| {
                codes.sort_unstable();
                codes.dedup();
                codes.len()
            };
            for corner in found[0].chunks(4) {
                assert_eq!(distinct(&mut corner.to_vec()), 1, "{found:?}");
            }
            assert_eq!(distinct(&mut found[0].clone()), 4);
            // What is left is the same at every corner.
            for place in 0..4 {
                let mut codes = found[1].iter().skip(place).step_by(4).copied().collect();
                assert_eq!(distinct(&mut codes), 1, "{found:?}");
            }
            assert_eq!(distinct(&mut found[1].clone()), 4);
        }
    }

    #[test]
    fn more_codes_than_points_do_no_harm() {
        let found = residual_codes(vec![1.0, 1.0, 2.0], 1, (2, 5), &SeedTree::new(1));
        assert_eq!(found[0][0], found[0][1]);
        assert_ne!(found[0][0], found[0][2]);
    }
}
