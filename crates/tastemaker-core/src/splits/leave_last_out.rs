//! Leave-last-out.

use serde::{Deserialize, Serialize};

use super::{Split, SplitSets, UserCuts};
use crate::dataset::Dataset;
use crate::error::Result;
use crate::rng::SeedTree;

/// Each user's last interaction is the test target, the one before it the validation target.
///
/// # What it does
/// Of a sequence of n interactions the first n − 2 are learnt from. The history of the test
/// target holds the validation target. Users with fewer than three interactions are learnt from
/// and not asked about.
///
/// # When not to use it
/// Where the calendar matters: one user's training interactions may be later than another user's
/// test target, which a recommender in service could not have seen. Then use `global-temporal`.
///
/// # References
/// Kang, McAuley: Self-Attentive Sequential Recommendation, ICDM 2018.
/// Meng et al.: Exploring Data Splitting Strategies for the Evaluation of Recommendation Models,
/// `RecSys` 2020.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LeaveLastOut {}

impl Split for LeaveLastOut {
    fn split(&self, data: &Dataset, _seeds: &SeedTree) -> Result<SplitSets> {
        let cuts = data.interactions.users().map(|user| match super::length(data, user) {
            n @ 0..3 => UserCuts::train_only(n),
            n => UserCuts { train_end: n - 2, validation: n - 2..n - 1, test: n - 1..n },
        });
        let advice = "it needs users with at least 3 interactions; use a higher k-core's data or \
                      more of it";
        SplitSets::with_advice("leave-last-out", data, cuts.collect(), advice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splits::Part;
    use crate::splits::testkit::{any_data, check_parts, data};

    #[test]
    fn the_last_is_tested_and_the_one_before_it_validates() {
        let data = data(&[&[4, 3, 2, 1], &[1, 2]]);
        let sets = LeaveLastOut {}.split(&data, &SeedTree::new(0)).unwrap();
        let asked = |part| -> Vec<(u32, usize, u32)> {
            let cases = sets.cases(&data, part);
            cases.iter().map(|case| (case.user.0, case.history.len(), case.targets[0].0)).collect()
        };
        assert_eq!(asked(Part::Validation), [(0, 2, 2)]);
        assert_eq!(asked(Part::Test), [(0, 3, 1)]);
        assert_eq!(sets.train(&data, crate::UserId(1)).len(), 2);
    }

    #[test]
    fn short_sequences_alone_are_an_error_that_says_what_is_needed() {
        let error = LeaveLastOut {}.split(&data(&[&[0, 1]]), &SeedTree::new(0)).unwrap_err();
        assert!(error.to_string().contains("at least 3 interactions"), "{error}");
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_in_order_and_complete(data in any_data()) {
            if let Ok(sets) = (LeaveLastOut {}).split(&data, &SeedTree::new(0)) {
                check_parts(&data, &sets);
                prop_assert_eq!(sets.summary(&data).left_out_interactions, 0);
            }
        }
    }
}
