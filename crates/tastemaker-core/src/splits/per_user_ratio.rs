//! A share of each user's sequence.

use serde::{Deserialize, Serialize};

use super::{Split, SplitSets, UserCuts};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::rng::SeedTree;

/// The first share of each user's sequence trains, the next validates, the last tests.
///
/// # What it does
/// Of a user's n interactions the last ⌊n · test⌋ are test targets and the ⌊n · validation⌋
/// before them validation targets, at least one of each; the rest, at least one, is learnt from.
/// Users with fewer than three interactions are learnt from and not asked about.
///
/// # When not to use it
/// To foretell what comes next: most of a user's targets are not the next interaction. And not
/// where the calendar matters, see [`super::LeaveLastOut`].
///
/// # References
/// Meng et al.: Exploring Data Splitting Strategies for the Evaluation of Recommendation Models,
/// `RecSys` 2020 ("temporal user" split).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PerUserRatio {
    /// The share that is learnt from, above 0.
    pub train: f64,
    /// The share that validates, above 0.
    pub validation: f64,
    /// The share that tests, above 0; the three sum to 1.
    pub test: f64,
}

impl Default for PerUserRatio {
    fn default() -> Self {
        Self { train: 0.8, validation: 0.1, test: 0.1 }
    }
}

impl PerUserRatio {
    fn check(&self) -> Result<()> {
        let shares = [self.train, self.validation, self.test];
        let sum: f64 = shares.iter().sum();
        // Comparisons with not-a-number are false, so it is refused too.
        if shares.iter().all(|&share| share > 0.0) && (sum - 1.0).abs() <= 1e-6 {
            return Ok(());
        }
        Err(Error::Setting {
            name: "train, validation and test of the per-user-ratio split".into(),
            found: format!("{}, {} and {}", self.train, self.validation, self.test),
            expected: "shares above 0 that sum to 1".into(),
        })
    }

    fn cuts(&self, length: u32) -> UserCuts {
        if length < 3 {
            return UserCuts::train_only(length);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a u32 is a u32"
        )]
        // 0.29 · 100 is a hair below 29 in binary.
        let share = |share: f64| (f64::from(length) * share + 1e-6).floor() as u32;
        let test = share(self.test).clamp(1, length - 2);
        let validation = share(self.validation).clamp(1, length - 1 - test);
        let train_end = length - test - validation;
        UserCuts { train_end, validation: train_end..length - test, test: length - test..length }
    }
}

impl Split for PerUserRatio {
    fn split(&self, data: &Dataset, _seeds: &SeedTree) -> Result<SplitSets> {
        self.check()?;
        let cuts = data.interactions.users().map(|user| self.cuts(super::length(data, user)));
        let advice = "it needs users with at least 3 interactions; use a higher k-core's data or \
                      more of it";
        SplitSets::with_advice("per-user-ratio", data, cuts.collect(), advice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splits::testkit::{any_data, check_parts, data};

    #[test]
    fn ten_interactions_are_eight_one_and_one() {
        let cuts = PerUserRatio::default().cuts(10);
        assert_eq!(cuts, UserCuts { train_end: 8, validation: 8..9, test: 9..10 });
        let cuts = PerUserRatio::default().cuts(100);
        assert_eq!(cuts, UserCuts { train_end: 80, validation: 80..90, test: 90..100 });
    }

    #[test]
    fn shares_that_do_not_sum_to_one_are_refused() {
        let data = data(&[&[0, 1, 2]]);
        for (train, validation, test) in
            [(0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (f64::NAN, 0.5, 0.5), (1.2, -0.1, -0.1)]
        {
            let error = PerUserRatio { train, validation, test }
                .split(&data, &SeedTree::new(0))
                .unwrap_err();
            assert!(error.to_string().contains("sum to 1"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_in_order_and_complete(
            data in any_data(), validation in 0.01f64..0.45, test in 0.01f64..0.45,
        ) {
            let split = PerUserRatio { train: 1.0 - validation - test, validation, test };
            if let Ok(sets) = split.split(&data, &SeedTree::new(0)) {
                check_parts(&data, &sets);
                prop_assert_eq!(sets.summary(&data).left_out_interactions, 0);
                for user in data.interactions.users() {
                    let cuts = sets.cuts(user);
                    let asked = !cuts.validation.is_empty() && !cuts.test.is_empty();
                    prop_assert_eq!(asked, data.interactions.sequence(user).len() >= 3);
                    prop_assert!(!asked || cuts.train_end > 0);
                }
            }
        }
    }
}
