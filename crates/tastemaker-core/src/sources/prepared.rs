//! A folder with prepared data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RawData, Source};
use crate::error::Result;
use crate::reading::raw::Input;

/// A folder that `tastemaker data prepare` wrote: `manifest.json` and Parquet files.
///
/// It is taken as it is, with its own manifest, unless the study asks for a preparation other
/// than the default one; see [`crate::prepare::prepare`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PreparedFolder {
    /// The folder.
    pub path: PathBuf,
}

impl Source for PreparedFolder {
    fn read(&self) -> Result<RawData> {
        let prepared = crate::prepare::read(&self.path)?;
        let (data, manifest) = (prepared.dataset, prepared.manifest);
        let interactions = &data.interactions;
        let user = interactions.users().flat_map(|user| {
            let n = interactions.sequence(user).len();
            std::iter::repeat_n(user.0, n)
        });
        let inputs = manifest.files.iter().map(|file| Input::File(self.path.join(&file.name)));
        Ok(RawData {
            name: data.name,
            format: format!("prepared data ({})", manifest.format),
            inputs: inputs.collect(),
            user: user.collect(),
            item: interactions.all_items().iter().map(|item| item.0).collect(),
            times: interactions.all_times().map(<[f64]>::to_vec),
            values: interactions.all_values().map(<[f32]>::to_vec),
            texts: interactions.texts().to_vec(),
            users: data.users,
            items: data.items,
            catalog: data.catalog,
            people: data.people,
            graph: data.graph,
            notes: manifest.notes,
            attribution: manifest.attribution,
        })
    }
}
