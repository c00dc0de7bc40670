//! Models that a study names as a hub does.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use tastemaker_endpoint::{Fetched, Hub};
use toml::Spanned;
use toml::de::DeValue;

use super::Study;
use super::document::Document;
use crate::Result;

/// The folder of models, from the working directory.
const FOLDER: &str = "models";

/// The settings that are paths of models.
const KEY: &str = "model";

/// The settings of models that are elsewhere.
const ELSEWHERE: &str = "endpoint";

/// A name of a hub that stands where the path of a model could, and where in the document.
type Named<'d, 't> = (&'d mut Spanned<DeValue<'t>>, String);

/// Puts in the place of every name of a hub the path that the model has once it is fetched; wrong names
/// are reported.
pub(super) fn local(document: &mut Document<'_>) -> Vec<Hub> {
    let (mut named, mut hub, mut wrong) = (Vec::new(), Vec::<Hub>::new(), Vec::new());
    for (key, value) in &mut document.table {
        gather(key.get_ref(), value, &mut named);
    }
    for (value, name) in named {
        let model =
            Hub::named(&name).and_then(|model| Ok((model.within(Path::new(FOLDER))?, model)));
        match model {
            Ok((path, model)) => {
                let same = |known: &&Hub| known.within(Path::new(FOLDER)).is_ok_and(|p| p == path);
                if let Some(Hub { model: other, revision, .. }) =
                    hub.iter().find(same).filter(|known| **known != model)
                {
                    let place = path.display();
                    let expected =
                        format!("{other} at {revision} alone, which the study names too");
                    wrong.push((
                        format!("{name} would be in {place}, expected {expected}"),
                        value.span(),
                    ));
                    continue;
                }
                *value.get_mut() = DeValue::String(Cow::Owned(path.display().to_string()));
                if !hub.contains(&model) {
                    hub.push(model);
                }
            }
            Err(error) => wrong.push((error.to_string(), value.span())),
        }
    }
    let wrong: Vec<(String, Range<usize>)> = wrong;
    for (message, span) in wrong {
        document.report(message, span);
    }
    hub
}

/// Finds the names below the settings that are paths of models, lists of them to be searched among them;
/// what a model behind an endpoint is called is no path.
fn gather<'d, 't>(key: &str, value: &'d mut Spanned<DeValue<'t>>, named: &mut Vec<Named<'d, 't>>) {
    if key.split('.').any(|part| part == ELSEWHERE) {
        return;
    }
    let is_model = key.rsplit('.').next() == Some(KEY);
    if let Some(name) = value.get_ref().as_str().and_then(|text| text.strip_prefix(Hub::PREFIX)) {
        let name = name.to_owned();
        if is_model {
            named.push((value, name));
        }
        return;
    }
    match value.get_mut() {
        DeValue::Table(table) => {
            for (own, value) in table {
                let own = if is_model { KEY } else { own.get_ref() };
                gather(own, value, named);
            }
        }
        DeValue::Array(items) => {
            items.as_mut().iter_mut().for_each(|item| gather(key, item, named));
        }
        _ => {}
    }
}

impl Study {
    /// Fetches the models of hubs that its arms name and that are not there yet; `tell` is told of each
    /// before.
    ///
    /// # Errors
    /// If one cannot be fetched, or another has its place.
    pub fn fetch_models(&self, tell: impl Fn(&Hub)) -> Result<Vec<Fetched>> {
        let (mut all, folder) = (Vec::new(), Path::new(FOLDER));
        // Arms may have been left out since it was read.
        let written = self.to_toml()?;
        for hub in &self.hub {
            let there = hub.within(folder)?;
            if !written.contains(&format!("\"{}\"", there.display())) {
                continue;
            }
            if !hub.is_within(folder)? {
                tell(hub);
            }
            all.extend(hub.fetch_missing(folder)?);
        }
        Ok(all)
    }
}
