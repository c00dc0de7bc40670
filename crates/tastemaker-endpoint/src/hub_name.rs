//! Models by the names that hubs have for them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::hub::setting;
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
    /// and `/` and a file of it where one is wanted alone. A revision has no stroke.
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
        let url = Self::usual();
        let hub = Self { key: Self::usual_key(&url), url, model, revision, file };
        hub.name()?;
        Ok(hub)
    }

    /// Where the model is, or will be, within a folder of models.
    pub fn within(&self, folder: &Path) -> Result<PathBuf> {
        let own = folder.join(self.name()?);
        Ok(self.file.as_ref().map_or(own.clone(), |file| own.join(file)))
    }

    /// The key in `HF_TOKEN` of the environment, for [`Hub::usual`] alone: that of one hub is not for another.
    pub fn usual_key(url: &str) -> Option<String> {
        let usual = Self::usual();
        let same = url.trim_end_matches('/') == usual.trim_end_matches('/');
        variable("HF_TOKEN").filter(|_| same)
    }

    /// Whether something is in its place within a folder of models; of a folder, whether it is a model's.
    pub fn is_within(&self, folder: &Path) -> Result<bool> {
        let there = self.within(folder)?;
        Ok(if self.file.is_some() { there.exists() } else { there.join("config.json").exists() })
    }

    /// [`Hub::fetch`] of a model that is not there yet.
    ///
    /// # Errors
    /// If its place has another one, or one that says nothing of its revision where one is named.
    pub fn fetch_missing(&self, folder: &Path) -> Result<Option<Fetched>> {
        #[derive(Deserialize)]
        struct Source {
            model: String,
            #[serde(default)]
            revision: Option<String>,
            commit: String,
        }
        if !self.is_within(folder)? {
            return self.fetch(folder).map(Some);
        }
        let there = self.within(folder)?;
        let text = fs_err::read_to_string(folder.join(self.name()?).join(self.source())).ok();
        let source = text.and_then(|text| serde_json::from_str::<Source>(&text).ok());
        let Self { model: own, revision, .. } = self;
        let is_it = match &source {
            // What came another way says nothing.
            None => revision == BRANCH,
            Some(Source { model, revision: asked, commit }) => {
                let same = asked.as_deref().unwrap_or(BRANCH) == revision;
                let named = revision.len() >= 7 && commit.starts_with(&revision[..]);
                model == own && (same || named)
            }
        };
        if is_it {
            return Ok(None);
        }
        let found = format!("{own} at {revision}, whose place {} has", there.display());
        let expected = match source {
            Some(Source { model, revision, commit }) => {
                let revision = revision.unwrap_or(commit);
                format!("{model} at {revision}, which is there; or move that elsewhere")
            }
            None => {
                "no revision of what did not come from a hub; or move that elsewhere".to_owned()
            }
        };
        Err(setting("a model on a hub", &found, &expected))
    }
}

#[expect(clippy::disallowed_methods, reason = "where all tools look for a hub and its key")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
