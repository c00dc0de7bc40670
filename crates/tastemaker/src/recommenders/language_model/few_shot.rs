//! How much a model is adapted to.

use serde::{Deserialize, Serialize};
use tastemaker_core::Dataset;
use tastemaker_core::splits::SplitSets;

use super::taught;
use crate::Error;
use crate::error::setting;

/// How much a model is adapted to. Users are taken in the order that the seed decides; only they
/// are learnt from, and only they choose the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FewShot {
    /// This many users.
    Users(usize),
    /// This share of the users, above 0 and up to 1, rounded up.
    Share(f64),
    /// As many users as have this many training interactions together; the last one's are cut.
    Interactions(usize),
}

impl FewShot {
    pub(super) fn problem(self) -> Option<Error> {
        let (found, expected) = match self {
            Self::Users(0) => ("0 users".to_owned(), "1 or more"),
            Self::Interactions(n @ (0 | 1)) => (format!("{n} interactions"), "2 or more"),
            Self::Share(share) if !(share > 0.0 && share <= 1.0) => {
                (format!("a share of {share}"), "a number above 0, up to 1")
            }
            _ => return None,
        };
        Some(setting("few-shot", found, expected))
    }

    /// Of what is divided among so many shards, what the one with this `number`, from 1, has.
    pub(in super::super) fn part(self, number: usize, shards: usize) -> Self {
        let part = |n: usize| n / shards + usize::from(number <= n % shards);
        match self {
            Self::Users(n) => Self::Users(part(n)),
            Self::Interactions(n) => Self::Interactions(part(n)),
            Self::Share(share) => Self::Share(share),
        }
    }

    /// Why there are not so many in the data.
    pub(super) fn unsuited(self, data: &Dataset, split: &SplitSets) -> Option<Error> {
        let users = taught(data, split).count();
        let train_end = |user| split.cuts(user).train_end as usize;
        let interactions: usize = taught(data, split).map(train_end).sum();
        let (found, most) = match self {
            Self::Users(n) if n > users => (n, users),
            Self::Interactions(n) if n > interactions => (n, interactions),
            _ => return None,
        };
        let (found, what) = match self {
            Self::Users(_) => (format!("{found} users"), "users with two training interactions"),
            _ => (format!("{found} interactions"), "training interactions"),
        };
        let expected = format!("at most {most}, for so many {what} the data has");
        Some(setting("few-shot", found, expected))
    }
}
