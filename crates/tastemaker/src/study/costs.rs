//! The file with what each stage of a run took.

use std::io::Write;
use std::path::Path;

use tastemaker_core::artifact::write_atomically;

use crate::train::StageCost;
use crate::{Error, Result};

/// Its name, in the folder of a run or of a pre-trained model.
const FILE: &str = "costs.json";

/// Writes what the stages took into `folder`.
pub(crate) fn write(folder: &Path, costs: &[StageCost]) -> Result<()> {
    let text =
        serde_json::to_string_pretty(costs).map_err(|error| Error::Serialise(error.to_string()))?;
    Ok(write_atomically(&folder.join(FILE), |out| writeln!(out, "{text}"))?)
}

/// Removes what is written in `folder`.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    if path.exists() {
        fs_err::remove_file(&path)
            .map_err(|source| tastemaker_core::Error::Write { path, source })?;
    }
    Ok(())
}

/// What is written in `folder`; nothing where nothing was measured.
pub(crate) fn read(folder: &Path) -> Result<Vec<StageCost>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs_err::read_to_string(&path)
        .map_err(|source| tastemaker_core::Error::read(&path, source))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Run { path, problem: format!("this is no list of costs: {error}") })
}
