//! What the distance of two tokens adds to their score (Raffel et al. 2020, T5).

/// Distances of which a table holds a number each; farther ones share.
pub(crate) const BUCKETS: usize = 32;

/// From here on all distances share one number.
pub(crate) const FAR: usize = 128;

/// The bucket of each distance between tokens of sequences of at most `longest`: that of a token
/// and another `other − token` places away stands at `longest − 1 + other − token`.
pub(crate) fn buckets(longest: usize, causal: bool) -> Vec<usize> {
    let all = if causal { BUCKETS } else { BUCKETS / 2 };
    (1..2 * longest)
        .map(|at| {
            let before = longest.saturating_sub(at);
            let after = at.saturating_sub(longest);
            match after {
                0 => bucket(before, all),
                _ if causal => 0,
                _ => all + bucket(after, all),
            }
        })
        .collect()
}

/// Half of the buckets are for one distance each, the others for ranges that grow.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm of a distance, from 0"
)]
fn bucket(distance: usize, all: usize) -> usize {
    let exact = all / 2;
    if distance < exact {
        return distance;
    }
    let (distance, first, far) = (distance as f64, exact as f64, FAR as f64);
    let further = (distance / first).ln() / (far / first).ln() * (all - exact) as f64;
    (exact + further as usize).min(all - 1)
}

/// A table [heads, buckets] spread over distances: [heads, distances].
pub(crate) fn spread(table: &[f32], buckets: &[usize]) -> Vec<f32> {
    let heads = table.chunks_exact(BUCKETS);
    heads.flat_map(|head| buckets.iter().map(|&bucket| head[bucket])).collect()
}

/// Adds up what [`spread`] has spread.
pub(crate) fn gather(spread: &[f32], buckets: &[usize], table: &mut [f32]) {
    if buckets.is_empty() {
        return;
    }
    let heads = spread.chunks_exact(buckets.len()).zip(table.chunks_exact_mut(BUCKETS));
    for (spread, table) in heads {
        for (value, &bucket) in spread.iter().zip(buckets) {
            table[bucket] += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_t5() {
        // `T5Attention._relative_position_bucket` of transformers 4, 32 buckets, distance 128.
        let causal = buckets(200, true);
        let before = |distance: usize| causal[199 - distance];
        let distances = [0, 1, 15, 16, 17, 20, 31, 32, 64, 127, 128, 199];
        let expected = [0, 1, 15, 16, 16, 17, 21, 21, 26, 31, 31, 31];
        assert_eq!(distances.map(before), expected);
        assert_eq!(causal[200], 0);
        let both = buckets(200, false);
        let (before, after) = (|d: usize| both[199 - d], |d: usize| both[199 + d]);
        assert_eq!([0, 1, 7, 8, 11, 12, 127, 199].map(before), [0, 1, 7, 8, 8, 9, 15, 15]);
        assert_eq!([1, 7, 8, 199].map(after), [17, 23, 24, 31]);
    }
}
