//! What views say of the items of a sequence.

use tastemaker_core::civil_from_days;
use tastemaker_nn::backbones::{View, Views};

const DAY: f64 = 86_400.0;

/// For each of `views` what it says of each of a user's `n` items, oldest first, whose times are
/// `times` in seconds since 1970 and whose returns are in these sixteenths, 0 where unknown.
pub fn numbers(
    views: Views,
    n: usize,
    times: Option<&[f64]>,
    returns: impl Fn(usize) -> u32,
) -> Vec<Vec<u32>> {
    let of = |view, place| match (view, times) {
        (View::Return, _) => returns(place),
        (view, Some(times)) => number(view, times, place),
        (_, None) => 0,
    };
    views.iter().map(|view| (0..n).map(|place| of(view, place)).collect()).collect()
}

/// The number of the sixteenth in which the share `quantile` lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of sixteen")]
pub fn sixteenth(quantile: f64) -> u32 {
    1 + (quantile * 16.0).min(15.0) as u32
}

/// By how much less the value of each further item counts.
const DISCOUNT: f64 = 0.9;

/// What comes after each of the items with these values, and which returns divide sixteenths.
#[derive(Debug, Default)]
pub(super) struct Returns {
    bounds: Vec<f64>,
}

impl Returns {
    /// The sixteenths of what comes after the items of these users.
    pub(super) fn new<'v>(users: impl Iterator<Item = &'v [f32]>) -> Self {
        let mut all: Vec<f64> = users.flat_map(after).collect();
        all.sort_by(f64::total_cmp);
        let at = |i: usize| all.get(i * all.len() / 16).copied();
        Self { bounds: (1..16).filter_map(at).collect() }
    }

    /// For each item of a user the number of its sixteenth; 0 of the last, after which nothing is
    /// known.
    pub(super) fn numbers(&self, values: &[f32]) -> Vec<u32> {
        let number = |value: f64| self.bounds.partition_point(|bound| *bound <= value);
        let number = |value| 1 + u32::try_from(number(value)).expect("one of sixteen");
        let mut numbers: Vec<u32> = after(values).into_iter().map(number).collect();
        numbers.resize(values.len(), 0);
        numbers
    }
}

/// Σₖ 0.9^(k−1) v(t+k) for every place but the last.
fn after(values: &[f32]) -> Vec<f64> {
    let mut after = vec![0.0; values.len()];
    for place in (1..values.len()).rev() {
        after[place - 1] = f64::from(values[place]) + DISCOUNT * after[place];
    }
    after.truncate(values.len().saturating_sub(1));
    after
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each number is one of a few, from 0"
)]
fn number(view: View, times: &[f64], place: usize) -> u32 {
    let (time, days) = (times[place], (times[place] / DAY).floor());
    match view {
        View::Gap if place == 0 => 0,
        View::Gap => 1 + (time - times[place - 1] + 1.0).max(1.0).log2().min(31.0) as u32,
        View::Hour => 1 + ((time - days * DAY) / 3600.0) as u32,
        // 1 January 1970 was a Thursday; Monday is 1.
        View::Weekday => 1 + (days + 3.0).rem_euclid(7.0) as u32,
        View::Month => civil_from_days(days as i64).1 as u32,
        View::Return => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seen_as_the_calendar_has_them() {
        // `date -u -d 2000-12-31T22:12:40`, a Sunday, and 100 seconds, a day and a century later.
        let first = 978_300_760.0;
        let times = [first, first, first + 100.0, first + 86_500.0, first + 3.2e9];
        let of = |view| numbers(Views::from(vec![view]), 5, Some(&times), |_| 0).remove(0);
        assert_eq!(of(View::Gap), [0, 1, 7, 17, 32]);
        assert_eq!(of(View::Hour), [23, 23, 23, 23, 24]);
        assert_eq!(of(View::Weekday), [7, 7, 7, 1, 7]);
        assert_eq!(of(View::Month), [12, 12, 12, 1, 5]);
        for view in View::ALL {
            assert!(of(view).iter().all(|&number| (number as usize) < view.n()));
        }
    }

    #[test]
    fn returns_are_what_comes_after_in_sixteenths() {
        assert_eq!(
            after(&[5.0, 1.0, 2.0, 4.0]),
            [1.0 + 0.9 * (2.0 + 0.9 * 4.0), 2.0 + 0.9 * 4.0, 4.0]
        );
        let values: Vec<Vec<f32>> = (0..160_i16).map(|value| vec![0.0, f32::from(value)]).collect();
        let returns = Returns::new(values.iter().map(Vec::as_slice));
        for (value, sixteenth) in [(0.0, 1), (9.0, 1), (10.0, 2), (155.0, 16), (1e9, 16)] {
            assert_eq!(returns.numbers(&[3.0, value]), [sixteenth, 0], "{value}");
        }
        assert_eq!(
            [sixteenth(0.0), sixteenth(0.5), sixteenth(0.99), sixteenth(1.0)],
            [1, 9, 16, 16]
        );
    }
}
