//! What can go wrong below the tensor library.

use std::path::{Path, PathBuf};

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with data: each variant says where, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be written; nothing half-written stays behind.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a file is not what its format says.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found and what was expected.
        problem: String,
    },
    /// A file is not what its format says, at no particular line.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A column, user, item, entry … that does not exist was named.
    #[error("there is no {kind} {name:?}{hint}")]
    Unknown {
        /// What kind of thing was named.
        kind: &'static str,
        /// The name as it was written.
        name: String,
        /// `; did you mean …?`, or what there is instead, or empty.
        hint: String,
    },
    /// A setting has a value that cannot be used.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// The setting's name.
        name: String,
        /// The value that was given.
        found: String,
        /// What can be used.
        expected: String,
    },
    /// A split leaves a part without anything in it.
    #[error("the {part} part of the {split} split is empty: {reason}")]
    EmptySplit {
        /// `train`, `validation` or `test`.
        part: &'static str,
        /// The split's name.
        split: &'static str,
        /// Why, and what to do about it.
        reason: String,
    },
    /// A recommender cannot be built or used on this data.
    #[error("{recommender} cannot be used here: {reason}")]
    Unsuitable {
        /// The recommender's name.
        recommender: &'static str,
        /// Why, and what could be used instead.
        reason: String,
    },
    /// A recommender failed in the library it is made with.
    #[error("{recommender} failed")]
    Recommender {
        /// The recommender's name.
        recommender: &'static str,
        /// The library's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A setting that cannot be used.
    pub fn setting(name: &str, found: impl std::fmt::Display, expected: impl Into<String>) -> Self {
        Self::Setting { name: name.to_owned(), found: found.to_string(), expected: expected.into() }
    }

    /// A file that could not be read.
    pub fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    /// A problem at `line` (from 1) of `path`.
    pub fn line(path: &Path, line: u64, problem: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, problem: problem.into() }
    }

    /// A problem of the whole of `path`.
    pub fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    /// `name` is none of `known`.
    pub fn unknown<'a>(
        kind: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::Unknown { kind, name: name.to_owned(), hint: crate::suggest::hint(name, known) }
    }
}
