//! Small TOML files, with the line at which they are wrong.

use std::path::Path;

use serde::de::DeserializeOwned;
use tastemaker_core::{Error, Result};

/// Reads the TOML file at `path`.
pub(crate) fn file<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let written = fs_err::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    text(path, &written)
}

/// Reads `written`, which stands in `path`.
pub(crate) fn text<T: DeserializeOwned>(path: &Path, written: &str) -> Result<T> {
    toml::from_str(written).map_err(|error: toml::de::Error| match error.span() {
        Some(span) => {
            let before = written[..span.start.min(written.len())].matches('\n').count();
            Error::line(path, before as u64 + 1, error.message())
        }
        None => Error::file(path, error.message()),
    })
}
