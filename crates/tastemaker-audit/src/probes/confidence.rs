//! Whether a recommender is as often right as it is sure.

/// A recommendation: how sure it was, and whether it was right.
pub type Claim = (f64, bool);

/// The largest of the probabilities that softmax makes of `scores`, which is the first one's where they
/// descend; `None` without scores.
pub fn of_first(scores: &[f32]) -> Option<f64> {
    let first = f64::from(*scores.first()?);
    let sum: f64 = scores.iter().map(|&score| (f64::from(score) - first).exp()).sum();
    Some(1.0 / sum)
}

/// Expected calibration error.
///
/// # Formula
/// `Σ nᵦ/n |rightᵦ − sureᵦ|` over `bins` bins of equal width, with the share of right claims and the mean of
/// how sure they were. A claim on a border is in the bin below it. From 0 (as often right as sure) to 1.
/// Few claims make it larger. Not a number of none.
///
/// # References
/// Guo et al. 2017, *On Calibration of Modern Neural Networks*, with its (a, b] bins.
pub fn expected_calibration_error(claims: impl Iterator<Item = Claim>, bins: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); bins];
    let mut n = 0.0;
    for (sure, right) in claims {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bin's place"
        )]
        let bin = ((sure * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        sums[bin].0 += f64::from(u8::from(right));
        sums[bin].1 += sure;
        n += 1.0;
    }
    sums.iter().map(|(right, sure)| (right - sure).abs()).sum::<f64>() / n
}
