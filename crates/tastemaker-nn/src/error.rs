//! What can go wrong around tensors.

use std::path::PathBuf;

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong around tensors and model files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// A model file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A parameter that should learn is not reached by the loss.
    #[error("the loss does not depend on parameter {parameter}, so it cannot learn")]
    NoGradient {
        /// The parameter's name.
        parameter: String,
    },
    /// Training left the finite numbers.
    #[error(
        "the gradient is not finite after {steps} steps; try a smaller learning-rate or gradient-clip"
    )]
    Diverged {
        /// Optimiser steps taken before.
        steps: u64,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Core(#[from] tastemaker_core::Error),
    /// The tensor library failed.
    #[error("the tensor library failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// A setting that cannot be used.
    pub fn setting(name: &str, found: impl std::fmt::Display, expected: impl Into<String>) -> Self {
        let found = format!("{found}");
        Self::Setting { name: name.to_owned(), found, expected: expected.into() }
    }
}
