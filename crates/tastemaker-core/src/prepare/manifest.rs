//! How a data set came to be.

use serde::{Deserialize, Serialize};

use super::options::PrepareOptions;
use crate::artifact::{sha256, sha256_file};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::{AnySource, Input};

/// The version of the folder's layout; raised when old programs cannot read a new folder.
pub(super) const VERSION: u32 = 1;

/// Marks a folder as one of ours.
pub(super) const KIND: &str = "tastemaker prepared data";

/// How a data set came to be: what was read, what was done, in words and as data, and what came
/// of it. It holds no clock, no machine and no user name, so the same input gives the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Always `tastemaker prepared data`.
    pub kind: String,
    /// The version of the layout of this file and the files beside it.
    pub version: u32,
    /// What the data set is called in results.
    pub name: String,
    /// SHA-256 over the content: ids, interactions, attributes, graph.
    pub hash: String,
    /// The source as data, where it is known.
    pub source: Option<AnySource>,
    /// The format that was read, in words.
    pub format: String,
    /// Everything that was read, with hashes.
    pub inputs: Vec<InputFile>,
    /// The options as data.
    pub options: PrepareOptions,
    /// What was done, one step after the other, with what was left after each.
    pub steps: Vec<Step>,
    /// The total order of each user's interactions, in words.
    pub order: String,
    /// The unit of the times in the source, in words.
    pub time: String,
    /// How users and items are numbered, in words.
    pub numbering: String,
    /// What was guessed, left out or repaired.
    pub notes: Vec<String>,
    /// Who made the data and under which licence, where that is known.
    pub attribution: Option<String>,
    /// Whether interactions have times.
    pub has_times: bool,
    /// Whether interactions have values.
    pub has_values: bool,
    /// What is written about interactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// Users, items and interactions in the end.
    pub counts: Counts,
    /// The items' attributes.
    pub item_attributes: Vec<SavedAttribute>,
    /// The users' attributes.
    pub user_attributes: Vec<SavedAttribute>,
    /// The files beside the manifest; empty for data that was not written.
    pub files: Vec<OutputFile>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Counts {
    /// Users with interactions.
    pub users: usize,
    /// Items with interactions.
    pub items: usize,
    /// Interactions.
    pub interactions: usize,
}

/// One step of the preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The step's name.
    pub step: String,
    /// What was done, in words.
    pub what: String,
    /// What was left after it.
    pub left: Counts,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InputFile {
    /// The path as it was given, or the name of embedded bytes.
    pub path: String,
    /// The size.
    pub bytes: u64,
    /// SHA-256 of the bytes as they stand in the file, in hexadecimal.
    pub sha256: String,
}

/// A file that was written beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutputFile {
    /// The name within the folder.
    pub name: String,
    /// The size.
    pub bytes: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

/// An attribute column of `items.parquet` or `users.parquet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SavedAttribute {
    /// The attribute's name.
    pub name: String,
    /// `text`, `categories` or `number`.
    pub kind: String,
    /// Whether it is what a person knows the item by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub title: bool,
    /// Whether treating users differently by it needs a justification.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
}

impl Step {
    /// A step and what was left after it.
    pub(super) fn new(step: &str, what: impl Into<String>, left: Counts) -> Self {
        Self { step: step.to_owned(), what: what.into(), left }
    }
}

impl Manifest {
    /// What can be said from the data set alone.
    pub(super) fn about(data: &Dataset, format: String) -> Self {
        let title = data.catalog.title_attribute().map(|title| title.name.as_str());
        let items = data.catalog.attributes().iter().map(|attribute| SavedAttribute {
            name: attribute.name.clone(),
            kind: attribute.column.kind().to_owned(),
            title: title == Some(&attribute.name),
            sensitive: false,
        });
        let users = data.people.attributes().iter().map(|known| SavedAttribute {
            name: known.attribute.name.clone(),
            kind: known.attribute.column.kind().to_owned(),
            title: false,
            sensitive: known.sensitive,
        });
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            name: data.name.clone(),
            hash: data.hash.clone(),
            format,
            numbering: "users and items are numbered from 0 in the order in which the kept \
                        interactions stand in the source"
                .to_owned(),
            counts: Counts {
                users: data.n_users(),
                items: data.n_items(),
                interactions: data.interactions.len(),
            },
            has_times: data.interactions.all_times().is_some(),
            has_values: data.interactions.all_values().is_some(),
            texts: data.interactions.texts().iter().map(|texts| texts.name.clone()).collect(),
            item_attributes: items.collect(),
            user_attributes: users.collect(),
            ..Self::default()
        }
    }
}

/// Hashes everything that was read.
pub(super) fn hash_inputs(inputs: &[Input]) -> Result<Vec<InputFile>> {
    let files = inputs.iter().map(|input| match input {
        Input::File(path) => {
            let failed = |source| Error::read(path, source);
            Ok(InputFile {
                path: path.display().to_string(),
                bytes: fs_err::metadata(path).map_err(failed)?.len(),
                sha256: sha256_file(path)?,
            })
        }
        Input::Embedded { name, bytes } => Ok(InputFile {
            path: format!("embedded:{name}"),
            bytes: bytes.len() as u64,
            sha256: sha256(bytes),
        }),
    });
    files.collect()
}
