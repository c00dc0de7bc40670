//! What the time between two tokens adds to their score (Zhai et al. 2024, *Actions speak louder
//! than words*, HSTU; before them Li, Wang and McAuley 2020, `TiSASRec`).

use super::Lanes;
use super::pairs::Pairs;

/// Buckets of intervals, of each of which a head has a number; the first is that of the unknown.
pub(crate) const INTERVALS: usize = 72;

/// By how much the natural logarithm of seconds grows from one bucket to the next.
const STEP: f64 = 0.301;

/// The bucket of the time between every two tokens of each sequence of a batch.
///
/// # Formula
/// 0 where the time of one of the two is unknown, else 1 + min(70, ⌊ln(max(1, s)) / 0.301⌋) with s
/// the seconds between them, whichever came first: each bucket reaches 1.35 times as far as the one
/// before, the last one begins at 45 years. The logarithm and its step are those of the
/// reference implementation (`RelativeBucketedTimeAndPositionBasedBias` in
/// meta-recsys/generative-recommenders), which has 129 buckets, of which seconds reach no others,
/// and none of the unknown. It takes the interval from a token to the *next* of the one that looks,
/// which is the item to be foretold; here it is that of the two tokens themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervals(pub(crate) Pairs<u8>);

impl Intervals {
    /// Between the tokens of `lanes`, whose times in seconds are `times`, one a token, not a
    /// number where unknown; all are unknown if they are absent.
    pub fn new(lanes: &Lanes, times: Option<&[f64]>) -> Self {
        Self(Pairs::new(lanes, |sequence, square| {
            let Some(times) = times else { return };
            let length = lanes.lengths()[sequence];
            let times = &times[lanes.rows(sequence..sequence + 1)];
            for (token, &time) in times.iter().enumerate() {
                for (other, &before) in times[..=token].iter().enumerate() {
                    let bucket = bucket(time - before);
                    (square[token * length + other], square[other * length + token]) =
                        (bucket, bucket);
                }
            }
        }))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm from 0, below the number of buckets"
)]
fn bucket(seconds: f64) -> u8 {
    /// The last bucket, counted from the first of the known.
    const LAST: f64 = (INTERVALS - 2) as f64;
    if seconds.is_nan() {
        return 0;
    }
    1 + (seconds.abs().max(1.0).ln() / STEP).min(LAST) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_reference_and_one_of_the_unknown() {
        // `(torch.log(torch.abs(x).clamp(min=1)) / 0.301).long()`, one further.
        let seconds = [0.0, 1.0, 1.36, 60.0, 3600.0, -86_400.0, 2.6e6, 1.5e9, 1e30, f64::NAN];
        let expected = [1, 1, 2, 14, 28, 38, 50, 71, 71, 0];
        assert_eq!(seconds.map(bucket), expected);
        assert_eq!(usize::from(bucket(f64::INFINITY)), INTERVALS - 1);
    }

    #[test]
    fn a_pair_is_unknown_where_one_of_the_two_is() {
        let lanes = Lanes::new(vec![1, 3]);
        let times = [f64::NAN, 10.0, f64::NAN, 70.0];
        let known = Intervals::new(&lanes, Some(&times));
        assert_eq!(known.0.of(0)[..1], [0]);
        assert_eq!(known.0.of(1), [1, 0, 14, 0, 0, 0, 14, 0, 1]);
        assert!(Intervals::new(&lanes, None).0.of(0).iter().all(|&bucket| bucket == 0));
    }
}
