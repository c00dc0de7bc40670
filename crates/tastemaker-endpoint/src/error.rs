//! What can go wrong between a study and an endpoint.

use std::path::PathBuf;

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong between a study and an endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something about a setting or a file.
    #[error(transparent)]
    Core(#[from] tastemaker_core::Error),
    /// The endpoint refuses what is asked, and would refuse it again.
    #[error("{url} answers {status}: {body}")]
    Refused {
        /// Where.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// The beginning of what it says.
        body: String,
    },
    /// The endpoint did not answer, however often it was asked.
    #[error("{url} does not answer ({tries} tries): {problem}")]
    Unreachable {
        /// Where.
        url: String,
        /// How often it was asked.
        tries: u32,
        /// What happened the last time.
        problem: String,
    },
    /// What is answered is none.
    #[error("{url} answers what cannot be read: {problem}")]
    Unreadable {
        /// Where.
        url: String,
        /// What was found and expected.
        problem: String,
    },
    /// The next question could cost more than is allowed.
    #[error(
        "the budget is spent: {what}; raise it under budget, and the study goes on from what was answered"
    )]
    Spent {
        /// Of what there is none left.
        what: String,
    },
    /// Nothing may be asked, and this was not answered before.
    #[error("a question is not answered in {}, and replay = true asks none", path.display())]
    NotRecorded {
        /// The file of what was answered.
        path: PathBuf,
    },
}
