//! What can go wrong in a study.

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something about the data.
    #[error(transparent)]
    Core(#[from] tastemaker_core::Error),
    /// Something about the model.
    #[error(transparent)]
    Nn(#[from] tastemaker_nn::Error),
}
