//! Leave-last-out.

use serde::{Deserialize, Serialize};

use super::{Split, SplitSets, UserCuts};
use crate::dataset::Dataset;
use crate::error::Result;
use crate::rng::SeedTree;

/// Each user's last interaction is the test target, the one before it the validation target.
/// Users with fewer than three interactions are learnt from and not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LeaveLastOut {}

impl Split for LeaveLastOut {
    fn split(&self, data: &Dataset, _seeds: &SeedTree) -> Result<SplitSets> {
        let cuts = data.interactions.users().map(|user| {
            let n = u32::try_from(data.interactions.sequence(user).len()).expect("fits");
            match n {
                0..3 => UserCuts { train_end: n, validation: n..n, test: n..n },
                _ => UserCuts { train_end: n - 2, validation: n - 2..n - 1, test: n - 1..n },
            }
        });
        SplitSets::new("leave-last-out", data, cuts.collect())
    }
}
