//! Models by the names that hubs have for them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::hub::{SOURCE, setting};
use crate::{Fetched, Hub, Result};

/// The usual hub.
const USUAL: &str = "https://huggingface.co";

/// A branch where none is named.
const BRANCH: &str = "main";

impl Hub {
    /// What the name of a model on a hub begins with where the path of another could stand.
    pub const PREFIX: &'static str = "hub:";

    /// The hub that `HF_ENDPOINT` names in the environment, or the usual one.
    pub fn usual() -> String {
        variable("HF_ENDPOINT").unwrap_or_else(|| USUAL.to_owned())
    }

    /// The model `OWNER/NAME` of [`Hub::usual`], with `@` and a revision after it that is not `main`,
    /// and `/` and a file of it where one is wanted alone.
    ///
    /// # Errors
    /// If it is no such name.
    pub fn named(name: &str) -> Result<Self> {
        let expected = "OWNER/NAME, OWNER/NAME@REVISION or, of a GGUF, OWNER/NAME/FILE";
        let wrong = || setting("a model on a hub", name, expected);
        let (owner, rest) = name.split_once('/').ok_or_else(wrong)?;
        let (own, file) = match rest.split_once('/') {
            Some((own, file)) => (own, Some(file.to_owned())),
            None => (rest, None),
        };
        let (own, revision) = own.split_once('@').unwrap_or((own, BRANCH));
        let parts = [owner, own, revision, file.as_deref().unwrap_or(BRANCH)];
        if parts.contains(&"") {
            return Err(wrong());
        }
        let (model, revision) = (format!("{owner}/{own}"), revision.to_owned());
        let hub = Self { url: Self::usual(), model, revision, file, key: None };
        hub.name()?;
        Ok(hub)
    }

    /// Where the model is, or will be, within a folder of models.
    pub fn within(&self, folder: &Path) -> Result<PathBuf> {
        let own = folder.join(self.name()?);
        Ok(self.file.as_ref().map_or(own.clone(), |file| own.join(file)))
    }

    /// [`Hub::fetch`] of a model that is not there yet; a hub that has no key is told `HF_TOKEN` from
    /// the environment.
    ///
    /// # Errors
    /// If one is there that came from another place, too.
    pub fn fetch_missing(&self, folder: &Path) -> Result<Option<Fetched>> {
        #[derive(Deserialize)]
        struct Source {
            model: String,
            commit: String,
        }
        let there = self.within(folder)?;
        if !there.exists() {
            let key = self.key.clone().or_else(|| variable("HF_TOKEN"));
            return Self { key, ..self.clone() }.fetch(folder).map(Some);
        }
        let source = match &self.file {
            Some(file) => folder.join(self.name()?).join(format!("{file}.{SOURCE}")),
            None => there.join(SOURCE),
        };
        // What came another way says nothing.
        let Ok(text) = fs_err::read_to_string(&source) else { return Ok(None) };
        let Ok(Source { model, commit }) = serde_json::from_str(&text) else { return Ok(None) };
        let is_commit =
            self.revision.len() >= 7 && self.revision.chars().all(|c| c.is_ascii_hexdigit());
        if model == self.model && (!is_commit || commit.starts_with(&self.revision)) {
            return Ok(None);
        }
        let Self { model: own, revision, .. } = self;
        let found = format!("{own} at {revision}, whose place {} has", there.display());
        let expected = format!("{model} at {commit}, which is there; or move that elsewhere");
        Err(setting("a model on a hub", &found, &expected))
    }
}

#[expect(clippy::disallowed_methods, reason = "where all tools look for a hub and its key")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
