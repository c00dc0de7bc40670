//! What can go wrong in a study.

use crate::study::Problem;

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
    /// Something about a model behind an endpoint.
    #[error(transparent)]
    Endpoint(#[from] tastemaker_endpoint::Error),
    /// A checkpoint belongs to something else than what is to be trained.
    #[error("{} is the checkpoint of another run: its model, data, split or seed differ; use another output folder or delete it", path.display())]
    OtherRun {
        /// The checkpoint.
        path: std::path::PathBuf,
    },
    /// Training ended before its first validation.
    #[error("training ended before its first validation")]
    NeverValidated,
    /// A study has mistakes.
    #[error("{}", problems(.0))]
    Study(Vec<Problem>),
    /// A setting of a recommender cannot be used, or not with the others.
    #[error("{problem}")]
    At {
        /// The setting's keys among those of the recommender, such as `training.epochs`.
        keys: String,
        /// What was found and what was expected.
        problem: Box<Error>,
    },
    /// Something about a shard.
    #[error("shard {number} of {of}: {problem}")]
    Shard {
        /// Its number, from 1.
        number: usize,
        /// How many shards there are.
        of: usize,
        /// What was found and what was expected.
        problem: Box<Error>,
    },
    /// Settings could not be written down.
    #[error("settings cannot be written down: {0}")]
    Serialise(String),
    /// A run's folder is not what it should be.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The folder or a file in it.
        path: std::path::PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// An item of a history was not found.
    #[error("{0}")]
    History(String),
}

impl Error {
    /// The same, of the setting with these keys or of one in it.
    pub(crate) fn at(self, keys: &str) -> Self {
        Self::At { keys: keys.to_owned(), problem: Box::new(self) }
    }

    /// The keys of the setting that this is about, as far as it names one.
    pub(crate) fn keys(&self) -> String {
        match self {
            Self::At { keys, problem } => format!("{keys}.{}", problem.keys()),
            Self::Shard { problem, .. } => problem.keys(),
            Self::Core(tastemaker_core::Error::Setting { name, .. })
            | Self::Nn(tastemaker_nn::Error::Setting { name, .. }) => name.clone(),
            _ => String::new(),
        }
    }
}

fn problems(problems: &[Problem]) -> String {
    let one_each: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let s = if problems.len() == 1 { "" } else { "s" };
    format!("the study has {} mistake{s}:\n{}", problems.len(), one_each.join("\n"))
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        tastemaker_nn::Error::from(error).into()
    }
}

/// A setting that cannot be used.
pub(crate) fn setting(
    name: &str,
    found: impl std::fmt::Display,
    expected: impl Into<String>,
) -> Error {
    tastemaker_core::Error::setting(name, found, expected).into()
}
