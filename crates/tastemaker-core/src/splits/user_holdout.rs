//! Whole users that nothing is learnt from.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Split, SplitSets, UserCuts};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::rng::SeedTree;

/// Some users validate, others test, and nothing is learnt from either: cold-start users.
///
/// # What it does
/// Users with two interactions or more are put in a random order. The first share of them validates, the
/// next tests, each by its last interaction, with those before it as the history; everybody else's
/// interactions are all learnt from.
///
/// # When not to use it
/// For recommenders that know users by number: they have learnt nothing of these.
///
/// # References
/// Strong generalisation (Marlin 2004; Liang et al. 2018); the "user split" of Meng et al. 2020.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct UserHoldout {
    /// The share of users that validates, above 0.
    pub validation: f64,
    /// The share of users that tests, above 0; both together are less than 1.
    pub test: f64,
}

impl Default for UserHoldout {
    fn default() -> Self {
        Self { validation: 0.1, test: 0.1 }
    }
}

impl Split for UserHoldout {
    fn split(&self, data: &Dataset, seeds: &SeedTree) -> Result<SplitSets> {
        let Self { validation, test } = *self;
        if !(validation > 0.0 && test > 0.0 && validation + test < 1.0) {
            return Err(Error::Setting {
                name: "validation and test of the user-holdout split".into(),
                found: format!("{validation} and {test}"),
                expected: "shares of users above 0 that are less than 1 together".into(),
            });
        }
        let length = |user: UserId| super::length(data, user);
        let mut users: Vec<UserId> =
            data.interactions.users().filter(|user| length(*user) > 1).collect();
        users.shuffle(&mut seeds.rng());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let share = |share: f64| (users.len() as f64 * share).ceil() as usize;
        let (validation, test) = (share(validation), share(test));
        let mut cuts: Vec<UserCuts> =
            data.interactions.users().map(|user| UserCuts::train_only(length(user))).collect();
        for (i, user) in users.iter().enumerate().take(validation + test) {
            let (end, last) = (length(*user), length(*user) - 1);
            let (validation, test) =
                if i < validation { (last..end, end..end) } else { (last..last, last..end) };
            cuts[user.index()] = UserCuts { train_end: 0, validation, test };
        }
        let advice = "it needs users with at least 2 interactions, some of them to learn from; use \
                      smaller shares or more data";
        SplitSets::with_advice("user-holdout", data, cuts, advice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splits::Part;
    use crate::splits::testkit::{any_data, check_parts, data};

    #[test]
    fn of_ten_users_one_validates_one_tests_and_eight_are_learnt_from() {
        let sequences: Vec<&[u32]> = vec![&[0, 1, 2]; 10];
        let data = data(&sequences);
        let sets = UserHoldout::default().split(&data, &SeedTree::new(3)).unwrap();
        let summary = sets.summary(&data);
        assert_eq!((summary.train_users, summary.validation.users, summary.test.users), (8, 1, 1));
        let case = sets.cases(&data, Part::Test)[0];
        assert_eq!((case.history.len(), case.targets.len()), (2, 1));
        assert!(sets.train(&data, case.user).is_empty());
    }

    #[test]
    fn shares_that_leave_nobody_to_learn_from_are_refused() {
        let data = data(&[&[0, 1, 2], &[0, 1], &[1, 2]]);
        for (validation, test) in [(0.5, 0.5), (0.0, 0.1), (f64::NAN, 0.1)] {
            let split = UserHoldout { validation, test };
            let error = split.split(&data, &SeedTree::new(0)).unwrap_err();
            assert!(error.to_string().contains("less than 1 together"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_learnt_from_users_who_are_asked_about(
            data in any_data(), validation in 0.05f64..0.45, test in 0.05f64..0.45,
        ) {
            if let Ok(sets) = (UserHoldout { validation, test }).split(&data, &SeedTree::new(1)) {
                check_parts(&data, &sets);
                for part in [Part::Validation, Part::Test] {
                    for case in sets.iter_cases(&data, part) {
                        prop_assert!(sets.train(&data, case.user).is_empty());
                        prop_assert!(!case.history.is_empty());
                    }
                }
            }
        }
    }
}
