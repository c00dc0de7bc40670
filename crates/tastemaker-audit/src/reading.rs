//! Small TOML files, with the line at which they are wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use tastemaker_core::{Error, Result};

use crate::harms::Governance;

/// Reads the TOML file at `path`.
pub(crate) fn file<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let written = fs_err::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    // What has defaults for all of it would be read as these.
    if toml::from_str::<toml::Table>(&written).is_ok_and(|table| table.is_empty()) {
        return Err(Error::file(path, "it says nothing"));
    }
    text(path, &written)
}

/// Reads what is on record of a recommender: a TOML file with a text for each field of
/// [`Governance::fields`](crate::harms::Governance::fields), or of `others`, that is filled in.
///
/// # Errors
/// If it has a field that there is not.
pub fn record(
    path: &Path,
    others: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, String>> {
    let record: BTreeMap<String, String> = file(path)?;
    let fields = Governance::fields().into_iter().map(|(name, _)| name).chain(others);
    let fields: BTreeSet<String> = fields.collect();
    let known = || fields.iter().map(|name| &name[..]);
    match record.keys().find(|name| !known().any(|known| known == *name)) {
        Some(unknown) => Err(Error::unknown("field of the record", unknown, known())),
        None => Ok(record),
    }
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
