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
    /// A checkpoint belongs to something else than what is to be trained.
    #[error("{} is the checkpoint of another run: its model, data, split or seed differ; use another output folder or delete it", path.display())]
    OtherRun {
        /// The checkpoint.
        path: std::path::PathBuf,
    },
    /// Training ended before its first validation.
    #[error("training ended before its first validation")]
    NeverValidated,
    /// Settings could not be written down.
    #[error("settings could not be written as JSON")]
    Serialise(#[source] serde_json::Error),
}
