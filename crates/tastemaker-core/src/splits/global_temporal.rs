//! Two points in time for everybody.

use serde::{Deserialize, Serialize};

use super::{Split, SplitSets, UserCuts};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::rng::SeedTree;

const NAME: &str = "global-temporal";

/// Two points in time, the same for everybody, part training, validation and test.
///
/// # What it does
/// Interactions before `validation-from` are learnt from; those from then on but before
/// `test-from` are validation targets; those from `test-from` on are test targets. Equal times
/// therefore always stand on the same side. A target needs a history: users whose first
/// interaction is in a part are not asked about in that part.
///
/// # When not to use it
/// Where times are missing, or only tell when a rating was entered in one sitting (`MovieLens`).
/// In short data most users stand on one side only.
///
/// # References
/// Ji et al.: A Critical Study on Data Leakage in Recommender System Offline Evaluation,
/// ACM TOIS 2023. Gusak et al.: Time to Split, `RecSys` 2025.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GlobalTemporal {
    /// The first moment of the validation part.
    pub validation_from: Moment,
    /// The first moment of the test part.
    pub test_from: Moment,
    /// Which of a user's interactions in a part are targets.
    pub targets: Targets,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// The time before which this share of all interactions happened, between 0 and 1. Where many
    /// interactions have that very time, the share before it is smaller.
    Quantile(f64),
    /// Seconds since 1970.
    Time(f64),
}

/// Which of a user's interactions in a part are targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// All of them.
    #[default]
    All,
    /// The first one; the others are in no part.
    Next,
}

impl Default for GlobalTemporal {
    fn default() -> Self {
        Self {
            validation_from: Moment::Quantile(0.8),
            test_from: Moment::Quantile(0.9),
            targets: Targets::All,
        }
    }
}

impl Moment {
    /// The point in seconds since 1970; `sorted` are all interaction times, ascending.
    fn resolve(self, setting: &str, sorted: &[f64]) -> Result<f64> {
        let refused = |found: f64, expected: &str| Error::Setting {
            name: format!("{setting} of the {NAME} split"),
            found: found.to_string(),
            expected: expected.into(),
        };
        match self {
            Self::Time(time) if time.is_finite() => Ok(time),
            Self::Time(time) => Err(refused(time, "a time in seconds since 1970")),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of an index is an index"
            )]
            Self::Quantile(share) if share > 0.0 && share < 1.0 => {
                // The subtraction undoes that 0.07 · 100 is a hair above 7 in binary.
                let index = (sorted.len() as f64 * share - 1e-6).ceil().max(0.0) as usize;
                Ok(sorted[index.min(sorted.len() - 1)])
            }
            Self::Quantile(share) => Err(refused(share, "a share between 0 and 1")),
        }
    }
}

impl GlobalTemporal {
    /// Both points in seconds since 1970.
    fn moments(&self, times: &[f64]) -> Result<(f64, f64)> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let validation_from = self.validation_from.resolve("validation-from", &sorted)?;
        let test_from = self.test_from.resolve("test-from", &sorted)?;
        if validation_from < test_from {
            return Ok((validation_from, test_from));
        }
        Err(Error::Setting {
            name: format!("test-from of the {NAME} split"),
            found: format!("{:?}, which is the time {test_from}", self.test_from),
            expected: format!(
                "a time after validation-from, {:?}, which is the time {validation_from}",
                self.validation_from
            ),
        })
    }

    /// The cuts of a user with these `times`, ascending.
    fn cuts(&self, times: &[f64], validation_from: f64, test_from: f64) -> UserCuts {
        let before = |moment: f64| {
            u32::try_from(times.partition_point(|&time| time < moment)).expect("checked by length")
        };
        let end = before(f64::INFINITY);
        let (train_end, test_start) = (before(validation_from), before(test_from));
        let targets = |start: u32, end: u32| match self.targets {
            // Without a history there is nothing to foretell from.
            _ if start == 0 => end..end,
            Targets::All => start..end,
            Targets::Next => start..end.min(start + 1),
        };
        UserCuts {
            train_end,
            validation: targets(train_end, test_start),
            test: targets(test_start, end),
        }
    }
}

impl Split for GlobalTemporal {
    fn split(&self, data: &Dataset, _seeds: &SeedTree) -> Result<SplitSets> {
        let unusable = |found: String, expected: &str| Error::Setting {
            name: format!("the {NAME} split of {:?}", data.name),
            found,
            expected: expected.into(),
        };
        let Some(times) = data.interactions.all_times() else {
            return Err(unusable(
                "asked of data without times".into(),
                "data with times; leave-last-out and per-user-ratio need only the order",
            ));
        };
        if times.is_empty() {
            return Err(unusable("asked of data without interactions".into(), "interactions"));
        }
        let (validation_from, test_from) = self.moments(times)?;
        let mut cuts = Vec::with_capacity(data.interactions.n_users());
        for user in data.interactions.users() {
            let times = data.interactions.times(user).unwrap_or_default();
            // A time that is not a number makes its neighbours incomparable: not sorted.
            if !times.is_sorted() || times.iter().any(|time| !time.is_finite()) {
                return Err(unusable(
                    format!(
                        "asked of user {:?} whose times do not ascend",
                        data.users.id(user.index()).unwrap_or_default()
                    ),
                    "times in order, as prepared data has them",
                ));
            }
            cuts.push(self.cuts(times, validation_from, test_from));
        }
        let advice = "no user has interactions on both sides of the moment where it begins; move \
                      validation-from or test-from";
        SplitSets::with_advice(NAME, data, cuts, advice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splits::Part;
    use crate::splits::testkit::{any_data, check_parts, data, timed};

    fn split(validation_from: Moment, test_from: Moment, targets: Targets) -> GlobalTemporal {
        GlobalTemporal { validation_from, test_from, targets }
    }

    #[test]
    fn equal_times_stand_on_the_later_side() {
        let data = timed(&[&[1.0, 2.0, 2.0, 3.0, 3.0, 4.0]]);
        let sets = split(Moment::Time(2.0), Moment::Time(3.0), Targets::All)
            .split(&data, &SeedTree::new(0))
            .unwrap();
        let expected = UserCuts { train_end: 1, validation: 1..3, test: 3..6 };
        assert_eq!(*sets.cuts(crate::UserId(0)), expected);
    }

    #[test]
    fn only_the_next_interaction_is_a_target_on_request() {
        let data = timed(&[&[1.0, 2.0, 2.0, 3.0, 3.0]]);
        let sets = split(Moment::Time(2.0), Moment::Time(3.0), Targets::Next)
            .split(&data, &SeedTree::new(0))
            .unwrap();
        let expected = UserCuts { train_end: 1, validation: 1..2, test: 3..4 };
        assert_eq!(*sets.cuts(crate::UserId(0)), expected);
        assert_eq!(sets.cases(&data, Part::Test)[0].history.len(), 3);
    }

    #[test]
    fn users_without_a_history_are_not_asked_about() {
        let data = timed(&[&[1.0, 2.0, 3.0], &[2.0, 3.0], &[3.0, 3.0]]);
        let sets = split(Moment::Time(2.0), Moment::Time(3.0), Targets::All)
            .split(&data, &SeedTree::new(0))
            .unwrap();
        let asked = |part| sets.iter_cases(&data, part).map(|case| case.user.0).collect::<Vec<_>>();
        assert_eq!(asked(Part::Validation), [0]);
        assert_eq!(asked(Part::Test), [0, 1]);
    }

    #[test]
    fn a_quantile_is_the_time_before_which_that_share_happened() {
        let times: Vec<f64> = (0..100).map(f64::from).collect();
        for (share, time) in [(0.8, 80.0), (0.07, 7.0), (0.5, 50.0), (0.999, 99.0)] {
            let found = Moment::Quantile(share).resolve("test-from", &times).unwrap();
            assert!((found - time).abs() < 1e-12, "{share}: {found}");
        }
    }

    #[test]
    fn data_without_times_and_moments_in_the_wrong_order_are_refused() {
        let late = split(Moment::Quantile(0.9), Moment::Quantile(0.5), Targets::All);
        let wild = split(Moment::Quantile(1.5), Moment::Time(3.0), Targets::All);
        let alike = timed(&[&[1.0, 1.0, 1.0]]);
        let mixed = timed(&[&[3.0, 1.0, 2.0]]);
        for (split, data, expected) in [
            (GlobalTemporal::default(), &data(&[&[0, 1, 2]]), "need only the order"),
            (late, &timed(&[&[1.0, 2.0, 3.0]]), "after validation-from"),
            (wild, &timed(&[&[1.0, 2.0, 3.0]]), "between 0 and 1"),
            (GlobalTemporal::default(), &alike, "after validation-from"),
            (split(Moment::Time(1.5), Moment::Time(2.5), Targets::All), &mixed, "do not ascend"),
            (split(Moment::Time(5.0), Moment::Time(6.0), Targets::All), &alike, "move"),
        ] {
            let error = split.split(data, &SeedTree::new(0)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_study_can_write_it() {
        let text = "[global-temporal]\nvalidation-from = { quantile = 0.7 }\n\
                    test-from = { time = 1e9 }\ntargets = \"next\"";
        let parsed: crate::splits::AnySplit = toml::from_str(text).unwrap();
        let expected = split(Moment::Quantile(0.7), Moment::Time(1e9), Targets::Next);
        assert_eq!(parsed, crate::splits::AnySplit::GlobalTemporal(expected));
    }

    proptest! {
        #[test]
        fn everything_learnt_from_is_before_everything_asked_for(
            data in any_data(), first in 0.05f64..0.9, step in 0.01f64..0.5, next in any::<bool>(),
        ) {
            let targets = if next { Targets::Next } else { Targets::All };
            let (from, to) = (Moment::Quantile(first), Moment::Quantile((first + step).min(0.99)));
            if let Ok(sets) = split(from, to, targets).split(&data, &SeedTree::new(0)) {
                check_parts(&data, &sets);
                let (mut train, mut validation, mut test) = (vec![], vec![], vec![]);
                for user in data.interactions.users() {
                    let times = data.interactions.times(user).unwrap();
                    let cuts = sets.cuts(user);
                    let part = |range: &std::ops::Range<u32>| {
                        times[range.start as usize..range.end as usize].to_vec()
                    };
                    train.extend(part(&(0..cuts.train_end)));
                    validation.extend(part(&cuts.validation));
                    test.extend(part(&cuts.test));
                }
                let largest = |times: &[f64]| times.iter().copied().fold(f64::MIN, f64::max);
                let smallest = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
                prop_assert!(largest(&train) < smallest(&validation));
                prop_assert!(largest(&validation) < smallest(&test));
            }
        }
    }
}
