//! Which interactions are learnt from, which choose, and which are looked at once.
//!
//! A split is, for every user, a few cuts in the user's sequence, which is ordered by time. A
//! history is always what stands before its targets, so no split can put a later interaction
//! of a user into an earlier part.

use std::ops::Range;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::ids::{ItemId, UserId};
use crate::registry;
use crate::rng::SeedTree;

mod leave_last_out;

pub use leave_last_out::LeaveLastOut;

/// A way to divide a data set.
pub trait Split {
    /// Cuts every user's sequence.
    fn split(&self, data: &Dataset, seeds: &SeedTree) -> Result<SplitSets>;
}

registry! {
    /// Every split a study can name.
    pub enum AnySplit: Split {
        /// Each user's last interaction is the test target, the one before it the validation target.
        "leave-last-out" => LeaveLastOut(LeaveLastOut),
    }
}

/// The part of a split whose targets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Chooses: epochs, settings.
    Validation,
    /// Looked at once.
    Test,
}

/// Where one user's sequence is cut; positions count from the user's oldest interaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCuts {
    /// Interactions before this position are learnt from.
    pub train_end: u32,
    /// The validation targets; empty for users that validate nothing.
    pub validation: Range<u32>,
    /// The test targets; empty for users that test nothing.
    pub test: Range<u32>,
}

/// One user's history and what came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalCase<'a> {
    /// The user.
    pub user: UserId,
    /// Everything before the targets, oldest first.
    pub history: &'a [ItemId],
    /// What to foretell.
    pub targets: &'a [ItemId],
}

/// A data set divided: for every user the cuts in its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitSets {
    hash: String,
    cuts: Vec<UserCuts>,
}

impl SplitSets {
    /// Checks and hashes `cuts`, one a user.
    pub fn new(name: &'static str, data: &Dataset, cuts: Vec<UserCuts>) -> Result<Self> {
        let mut hasher = sha2::Sha256::default();
        use sha2::Digest;
        hasher.update(name);
        hasher.update(&data.hash);
        for cut in &cuts {
            for x in [
                cut.train_end,
                cut.validation.start,
                cut.validation.end,
                cut.test.start,
                cut.test.end,
            ] {
                hasher.update(x.to_le_bytes());
            }
        }
        Ok(Self { hash: crate::artifact::hex(&hasher.finalize()), cuts })
    }

    /// SHA-256 over the data set's hash and every cut, in hexadecimal: two results with the same
    /// hash were asked for the same targets from the same histories.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What `user` contributes to training, oldest first.
    pub fn train<'a>(&self, data: &'a Dataset, user: UserId) -> &'a [ItemId] {
        &data.interactions.sequence(user)[..self.cuts[user.index()].train_end as usize]
    }

    /// The users with targets in `part`, with their histories.
    pub fn cases<'a>(&self, data: &'a Dataset, part: Part) -> Vec<EvalCase<'a>> {
        let cases = data.interactions.users().zip(&self.cuts).filter_map(|(user, cut)| {
            let range = match part {
                Part::Validation => &cut.validation,
                Part::Test => &cut.test,
            };
            let sequence = data.interactions.sequence(user);
            let (start, end) = (range.start as usize, range.end as usize);
            (start < end).then(|| EvalCase {
                user,
                history: &sequence[..start],
                targets: &sequence[start..end],
            })
        });
        cases.collect()
    }
}
