//! Candidates that were chosen elsewhere.

use std::fmt;
use std::path::Path;

use tastemaker_core::artifact::sha256_file;
use tastemaker_core::lists::{Lists, read_candidates};
use tastemaker_core::{Dataset, ItemId, Result, UserId};

/// A list of candidates for each of some users, from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateLists {
    file: String,
    hash: String,
    lists: Lists,
}

impl CandidateLists {
    /// Those of the file at `path`, of users and items of `data`: see [`read_candidates`].
    pub fn read(path: &Path, data: &Dataset) -> Result<Self> {
        let lists = read_candidates(path, &data.users, &data.items)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { file, hash: sha256_file(path)?, lists })
    }

    /// The candidates of `user`, in the order of the file; empty where there are none.
    pub fn of(&self, user: UserId) -> &[ItemId] {
        self.lists.items(user.index())
    }
}

/// The name of the file, the beginning of its hash, and how many of its lists are of users whom the data does
/// not know.
impl fmt::Display for CandidateLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.file, &self.hash[..12])?;
        match self.lists.unknown_users() {
            0 => Ok(()),
            n => write!(f, " but for lists of {n} users who are not in the data"),
        }
    }
}
