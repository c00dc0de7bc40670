//! The weights of a model's folder, as `transformers` leaves it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use tastemaker_core::artifact::{sha256, sha256_file};

use super::json;
use crate::checkpoint::{self, Checkpoint};
use crate::{Error, Result};

/// The file of a model that has one.
pub(super) const WEIGHTS: &str = "model.safetensors";

/// What says which of several files has which tensor.
const INDEX: &str = "model.safetensors.index.json";

/// The files with a model's weights: one, or several that an index names.
#[derive(Clone, Debug)]
pub(super) struct WeightFiles {
    /// What stands for them in messages: the file or the index.
    pub(super) path: PathBuf,
    files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// The file at `path`.
    pub(super) fn one(path: &Path) -> Self {
        Self { path: path.to_owned(), files: vec![path.to_owned()] }
    }

    /// Those in `folder`.
    ///
    /// # Errors
    /// If an index cannot be read or names what is no file of the folder. A single file is not looked for.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let (one, index) = (folder.join(WEIGHTS), folder.join(INDEX));
        if one.exists() || !index.exists() {
            return Ok(Self::one(&one));
        }
        let names: BTreeSet<String> = json::<Index>(&index)?.weight_map.into_values().collect();
        let outside = |name: &&String| {
            let mut parts = Path::new(name).components();
            !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        };
        if let Some(name) = names.iter().find(outside) {
            let problem = format!("a tensor is in {name:?}, expected a file of the folder");
            return Err(Error::Checkpoint { path: index, problem });
        }
        let files = names.iter().map(|name| folder.join(name)).collect();
        Ok(Self { path: index, files })
    }

    /// Whether all of them can be opened.
    pub(super) fn are_there(&self) -> Result<()> {
        for file in &self.files {
            fs_err::File::open(file)
                .map_err(|source| tastemaker_core::Error::read(file, source))?;
        }
        Ok(())
    }

    /// SHA-256 of the file, or over those of all.
    pub(super) fn hash(&self) -> Result<String> {
        if let [one] = &self.files[..] {
            return Ok(sha256_file(one)?);
        }
        let hashes = self.files.iter().map(|file| Ok(sha256_file(file)?));
        Ok(sha256(hashes.collect::<Result<String>>()?.as_bytes()))
    }

    /// The tensors of all files.
    pub(super) fn read(&self) -> Result<Checkpoint<()>> {
        let mut all = Checkpoint { about: (), tensors: BTreeMap::new() };
        for file in &self.files {
            all.tensors.extend(Checkpoint::foreign(file, &checkpoint::read(file)?)?.tensors);
        }
        Ok(all)
    }
}
