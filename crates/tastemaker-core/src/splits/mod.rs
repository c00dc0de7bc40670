//! Which interactions are learnt from, which choose, and which are looked at once.
//!
//! A split is, for every user, a few cuts in the user's sequence, which is ordered by time. A
//! history is always what stands before its targets, so no split can put a later interaction
//! of a user into an earlier part.

use crate::dataset::Dataset;
use crate::error::Result;
use crate::registry;
use crate::rng::SeedTree;

mod global_temporal;
mod leave_last_out;
mod per_user_ratio;
mod sets;
mod user_holdout;

pub use global_temporal::{GlobalTemporal, Moment, Targets};
pub use leave_last_out::LeaveLastOut;
pub use per_user_ratio::PerUserRatio;
pub use sets::{EvalCase, Part, PartSummary, SplitSets, SplitSummary, UserCuts};
pub use user_holdout::UserHoldout;

/// A way to divide a data set.
pub trait Split {
    /// Cuts every user's sequence.
    fn split(&self, data: &Dataset, seeds: &SeedTree) -> Result<SplitSets>;
}

registry! {
    /// Every split a study can name.
    pub enum AnySplit: Split {
        /// Two points in time, the same for everybody, part training, validation and test.
        "global-temporal" => GlobalTemporal(GlobalTemporal),
        /// Each user's last interaction is the test target, the one before it the validation target.
        "leave-last-out" => LeaveLastOut(LeaveLastOut),
        /// The first share of each user's sequence trains, the next validates, the last tests.
        "per-user-ratio" => PerUserRatio(PerUserRatio),
        /// Some users validate, others test, and nothing is learnt from either: cold-start users.
        "user-holdout" => UserHoldout(UserHoldout),
    }
}

/// The number of `user`'s interactions, as positions in [`UserCuts`] are counted.
fn length(data: &Dataset, user: crate::UserId) -> u32 {
    u32::try_from(data.interactions.range(user).len()).expect("fewer than 2^32 a user")
}

#[cfg(test)]
mod testkit;
