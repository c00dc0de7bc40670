//! Fetches models from a hub.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tastemaker_core::artifact::{sha256_file, write_atomically};
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;

use crate::{Error, Result};

/// The files of a model's folder that are read, if they are there, beside its weights.
const FILES: [&str; 9] = [
    "config.json",
    "tokenizer.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

/// Those without which a folder is no model.
const NEEDED: usize = 2;

/// The weights in one file.
const WEIGHTS: &str = "model.safetensors";

/// What names the files of weights that are in several.
const INDEX: &str = "model.safetensors.index.json";

/// The file that says where a model came from, and what the name of one that says it of a single file
/// ends in.
const SOURCE: &str = "source.json";

/// A model on a hub, as `HuggingFace`'s serves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Where the hub is.
    pub url: String,
    /// The model: who made it, a stroke, and what it is called.
    pub model: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// One file of it, as a GGUF; the files of its folder where absent.
    pub file: Option<String>,
    /// What the hub is told where a model needs permission.
    pub key: Option<String>,
}

/// Where a fetched model came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fetched {
    /// The hub.
    pub url: String,
    /// The model.
    pub model: String,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that was fetched.
    pub commit: String,
    /// The folder in which it is.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Its files, with their SHA-256.
    pub files: Vec<(String, String)>,
}

/// What a hub says of a model.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

/// Which file has which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// Fetches the model into a folder of its own in `folder`, whole or not at all; returns where it
    /// came from, which is written beside its files, too.
    ///
    /// # Errors
    /// If the folder is there, the hub cannot be reached or refuses, or the model has not the files
    /// that are read.
    pub fn fetch(&self, folder: &Path) -> Result<Fetched> {
        let name = self.name()?;
        // Single files stand beside each other and beside those of the folder.
        let (own, there) = (folder.join(&name), self.within(folder)?);
        if self.is_within(folder)? {
            let expected = "a name that is not there; remove it to fetch the model again, or name \
                            another folder of models";
            return Err(setting("what is fetched", &there.display().to_string(), expected));
        }
        // A server that no longer sends is given up; how long a large file takes is not known.
        let timeout = Some(Duration::from_mins(1));
        let agent = Agent::config_builder().timeout_connect(timeout).timeout_recv_response(timeout);
        let agent = agent.timeout_per_read(timeout).http_status_as_error(false);
        // Hubs send to other places of their own, and to stores of others, which must not be told the key.
        let agent = agent.redirect_auth_headers(RedirectAuthHeaders::SameHost);
        let agent: Agent = agent.build().into();
        let Self { url, model, revision, .. } = self;
        let url = url.trim_end_matches('/');
        let about = format!("{url}/api/models/{model}/revision/{revision}");
        let body = self.answer(&agent, &about)?.body_mut().read_to_string();
        let body = body.map_err(|error| unreachable(&about, &error))?;
        let listing: Listing = serde_json::from_str(&body).map_err(|error| Error::Unreadable {
            url: about.clone(),
            problem: format!("this is no list of files: {error}"),
        })?;
        let there: Vec<&str> = listing.siblings.iter().map(|file| &file.rfilename[..]).collect();
        let mut weights = vec![WEIGHTS.to_owned()];
        if self.file.is_none() && !there.contains(&WEIGHTS) && there.contains(&INDEX) {
            let index = format!("{url}/{model}/resolve/{}/{INDEX}", listing.sha);
            weights = self.parts(&agent, &index)?;
        }
        let wanted = self.wanted(&there, &weights)?;
        fs_err::create_dir_all(folder).map_err(|source| write_failed(folder, source))?;
        let work = tempfile::Builder::new().prefix(".fetching-").tempdir_in(folder);
        let work = work.map_err(|source| write_failed(folder, source))?;
        // Folders for a while are private, and those within them are as others.
        let whole = work.path().join(&name);
        let mut files = Vec::new();
        for file in wanted {
            let from = format!("{url}/{model}/resolve/{}/{file}", listing.sha);
            let path = whole.join(&file);
            self.download(&agent, &from, &path)?;
            files.push((file, sha256_file(&path)?));
        }
        let fetched = Fetched {
            url: url.to_owned(),
            model: model.clone(),
            revision: revision.clone(),
            commit: listing.sha,
            folder: own.clone(),
            files,
        };
        let text = serde_json::to_string_pretty(&fetched).map_err(std::io::Error::from);
        let source = self.source();
        write_atomically(&whole.join(&source), |out| writeln!(out, "{}", text?))?;
        let rename = |from: &Path, to: &Path| {
            fs_err::rename(from, to).map_err(|source| write_failed(to, source))
        };
        if !own.exists() {
            rename(&whole, &own)?;
            return Ok(fetched);
        }
        for file in fetched.files.iter().map(|(file, _)| file).chain([&source]) {
            let to = own.join(file);
            if let Some(parent) = to.parent() {
                fs_err::create_dir_all(parent).map_err(|source| write_failed(parent, source))?;
            }
            rename(&whole.join(file), &to)?;
        }
        Ok(fetched)
    }

    /// The file of the model's folder that says where it came from.
    pub(crate) fn source(&self) -> String {
        self.file.as_ref().map_or(SOURCE.to_owned(), |file| format!("{file}.{SOURCE}"))
    }

    /// What the folder of the model is called.
    pub(crate) fn name(&self) -> Result<String> {
        let name = self.model.rsplit('/').next().unwrap_or_default().to_lowercase();
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let named = !name.is_empty() && !name.starts_with('.') && name.chars().all(fits);
        if self.model.matches('/').count() != 1 || !named {
            return Err(setting("the model", &self.model, "OWNER/NAME, as the hub has it"));
        }
        Ok(name)
    }

    /// An index of weights in several files, and the files that it names.
    fn parts(&self, agent: &Agent, index: &str) -> Result<Vec<String>> {
        let body = self.answer(agent, index)?.body_mut().read_to_string();
        let body = body.map_err(|error| unreachable(index, &error))?;
        let parts: Index = serde_json::from_str(&body).map_err(|error| Error::Unreadable {
            url: index.to_owned(),
            problem: format!("this is no index of weights: {error}"),
        })?;
        let names: BTreeSet<String> = parts.weight_map.into_values().collect();
        Ok(std::iter::once(INDEX.to_owned()).chain(names).collect())
    }

    /// The files that are fetched, with these `weights`, of those that are `there`.
    fn wanted(&self, there: &[&str], weights: &[String]) -> Result<Vec<String>> {
        let missing = |wanted: &str| {
            let path = Path::new(wanted);
            let inside =
                path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            !inside || !there.contains(&wanted)
        };
        let weights = weights.iter().map(String::as_str);
        let (wanted, needed): (Vec<&str>, Vec<&str>) = match &self.file {
            Some(file) => (vec![file], vec![file]),
            None => {
                let others = FILES.into_iter().filter(|file| there.contains(file));
                let needed = weights.clone().chain(FILES[..NEEDED].iter().copied());
                (others.chain(weights).collect(), needed.collect())
            }
        };
        if let Some(missing) = needed.iter().find(|file| missing(file)) {
            let weights = |file: &&&str| {
                let extension = Path::new(file).extension();
                extension.is_some_and(|of| of == "gguf" || of == "safetensors")
            };
            let has: Vec<&str> = there.iter().filter(weights).copied().collect();
            let has =
                if has.is_empty() { "nothing that could be read".into() } else { has.join(", ") };
            let found = format!("{:?}, which {} does not have", missing, self.model);
            let expected = format!("one of its files; of weights it has {has}");
            return Err(setting("a file of the model", &found, &expected));
        }
        Ok(wanted.into_iter().map(str::to_owned).collect())
    }

    /// What the hub answers when it is asked for `url`.
    fn answer(&self, agent: &Agent, url: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = agent.get(url);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().map_err(|error| unreachable(url, &error))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let body = response.body_mut().read_to_string().unwrap_or_default();
        let body = body.trim().chars().take(300).collect();
        Err(Error::Refused { url: url.to_owned(), status, body })
    }

    fn download(&self, agent: &Agent, url: &str, path: &Path) -> Result<()> {
        let mut response = self.answer(agent, url)?;
        let length = response.body().content_length();
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut written = 0;
        write_atomically(path, |out| {
            written = std::io::copy(&mut reader, out)?;
            Ok(())
        })?;
        match length {
            Some(length) if length != written => {
                let problem = format!("{written} of {length} bytes came");
                Err(Error::Unreachable { url: url.to_owned(), tries: 1, problem })
            }
            _ => Ok(()),
        }
    }
}

fn unreachable(url: &str, error: &ureq::Error) -> Error {
    Error::Unreachable { url: url.to_owned(), tries: 1, problem: error.to_string() }
}

fn write_failed(path: &Path, source: std::io::Error) -> Error {
    tastemaker_core::Error::Write { path: path.to_owned(), source }.into()
}

pub(crate) fn setting(name: &str, found: &str, expected: &str) -> Error {
    tastemaker_core::Error::setting(name, found, expected).into()
}
