//! What all runs in a study's folder are of.

use std::io::Write;
use std::path::{Path, PathBuf};

use tastemaker_core::artifact::{lock, write_atomically};

use super::{Study, study_folder};
use crate::{Error, Result};

/// A study as far as any of it was run, and the folder that its folder is in.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeStudy {
    /// The study.
    pub study: Study,
    /// Where studies have their folders.
    pub out: PathBuf,
}

impl WholeStudy {
    /// The name of its file, in the folder of a study.
    pub const FILE: &str = "resolved.toml";

    /// Takes note of a study that runs now. What was run of it before, other arms and other seeds, stays.
    pub fn note(study: &Study, out: &Path) -> Result<()> {
        let path = study_folder(out, study).join(Self::FILE);
        let lock = lock(&path.with_extension("lock"))?;
        let mut whole = study.clone();
        if path.exists() {
            let before = super::read(&path, &[])?;
            let plain = |whole: &Study| Study {
                arm: vec![],
                study: study.study.clone(),
                search: None,
                hub: vec![],
                notes: vec![],
                ..whole.clone()
            };
            let searched = |other: &Study| other.search.is_none() || study.search.is_none();
            if plain(&before) == plain(study)
                && (before.search == study.search || searched(&before))
            {
                whole.search = study.search.clone().or(before.search.clone());
                whole.arm.clone_from(&before.arm);
                for arm in &study.arm {
                    match whole.arm.iter_mut().find(|known| known.name == arm.name) {
                        Some(known) => known.clone_from(arm),
                        None => whole.arm.push(arm.clone()),
                    }
                }
                whole.study.seeds.extend(&before.study.seeds);
                whole.study.seeds.sort_unstable();
                whole.study.seeds.dedup();
            }
        }
        let text = whole.to_toml()?;
        write_atomically(&path, |out| out.write_all(text.as_bytes()))?;
        drop(lock);
        Ok(())
    }

    /// The study in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::FILE);
        if !path.is_file() {
            let problem =
                format!("there is no {} in it, expected the folder of a study", Self::FILE);
            return Err(Error::Run { path: folder.to_owned(), problem });
        }
        let study = super::read(&path, &[])?;
        let depth = if study.study.regime.is_some() { 2 } else { 1 };
        // A folder that is named from within, such as `.`, has no ancestors.
        let whole = folder.canonicalize();
        let whole = whole.map_err(|source| tastemaker_core::Error::read(folder, source))?;
        let out = whole.ancestors().nth(depth).unwrap_or(&whole).to_owned();
        Ok(Self { study, out })
    }

    /// The folders of studies in `folder`: itself, or those of its regimes by name.
    pub fn folders(folder: &Path) -> Vec<PathBuf> {
        if folder.join(Self::FILE).is_file() {
            return vec![folder.to_owned()];
        }
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.join(Self::FILE).is_file())
            .collect();
        inside.sort();
        inside
    }
}
