//! The files of a trained model: its backbone, and apart from it what was put in.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tastemaker_core::artifact;
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::parameters::Group;
use tastemaker_nn::transformer::Transformer;

use super::LanguageModel;
use crate::{Error, Result};

/// The file of a trained backbone, in the run's folder.
pub const MODEL_FILE: &str = "model.safetensors";

/// The file of what was put into the backbone, in the run's folder.
pub const ADAPTERS_FILE: &str = "adapters.safetensors";

/// The file that an interrupted training goes on from; gone once training has ended.
pub const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

/// The version of the files; raised when their meaning changes.
const VERSION: u32 = 2;

/// How a stage of training ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct StageEnd {
    /// Its name.
    pub(super) stage: String,
    /// How many numbers learnt.
    pub(super) trained_parameters: usize,
    /// The epoch whose weights were kept, from 0.
    pub(super) best_epoch: usize,
    /// Its validation, if there was one to choose by.
    pub(super) validation: Option<f64>,
}

/// What a model file says about itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct About {
    version: u32,
    run: String,
    model: LanguageModel,
    n_items: usize,
    stages: Vec<StageEnd>,
    /// SHA-256 of the codes that items' embeddings are sums of, which are found anew when it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codes: Option<String>,
}

/// Tells the codes of a model's items from all others, where their texts have such.
fn codes(settings: &LanguageModel, model: &Transformer) -> Option<String> {
    settings.texts.as_ref().filter(|texts| texts.n_codes().is_some())?;
    let features = model.features()?;
    let rows: Vec<String> =
        (0..features.n_rows()).map(|row| format!("{:?}", features.of(row))).collect();
    Some(artifact::sha256(rows.join("\n").as_bytes()))
}

/// Writes a trained model; that it is there says that training has ended, so it comes last.
pub(super) fn write(
    folder: &Path,
    model: &Transformer,
    (settings, run, stages): (&LanguageModel, &str, Vec<StageEnd>),
    n_items: usize,
) -> Result<()> {
    let about = || About {
        version: VERSION,
        run: run.to_owned(),
        model: settings.clone(),
        n_items,
        stages: stages.clone(),
        codes: codes(settings, model),
    };
    let adapters = tensors(model, Group::is_inserted)?;
    if !adapters.is_empty() {
        Checkpoint { about: about(), tensors: adapters }.write(&folder.join(ADAPTERS_FILE))?;
    }
    let backbone = tensors(model, Group::is_backbone)?;
    Ok(Checkpoint { about: about(), tensors: backbone }.write(&folder.join(MODEL_FILE))?)
}

pub(in crate::recommenders) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub(in crate::recommenders) fn tensors(
    model: &Transformer,
    of: impl Fn(Group) -> bool,
) -> Result<Tensors> {
    let mut tensors = BTreeMap::new();
    for (name, variable) in model.parameters().iter().filter(|(name, _)| of(Group::of(name))) {
        let values = model.parameters().values(name)?;
        tensors.insert(name.to_owned(), (variable.dims().to_vec(), values));
    }
    Ok(tensors)
}

/// Reads the model of a run that has ended into `model`, which has its adapters.
pub(super) fn read(folder: &Path, model: &Transformer, run: &str) -> Result<()> {
    let path = folder.join(MODEL_FILE);
    let backbone = checked(&path, run)?;
    if codes(&backbone.about.model, model) != backbone.about.codes {
        let problem = "the codes of its items, found anew from their texts, are not those that it \
                       learnt with; the texts, their encoder or the other data have changed";
        let problem = problem.to_owned();
        return Err(tastemaker_nn::Error::Checkpoint { path, problem }.into());
    }
    let adapters_path = folder.join(ADAPTERS_FILE);
    let adapters = match model.adapters() {
        [] => None,
        _ => Some(checked(&adapters_path, run)?),
    };
    Ok(model.parameters().set(|name, dimensions| match &adapters {
        Some(adapters) if !Group::of(name).is_backbone() => {
            adapters.tensor(&adapters_path, name, dimensions)
        }
        _ => backbone.tensor(&path, name, dimensions),
    })?)
}

fn checked(path: &Path, run: &str) -> Result<Checkpoint<About>> {
    let checkpoint = Checkpoint::<About>::read(path)?;
    let about = &checkpoint.about;
    if about.version != VERSION {
        let problem =
            format!("this is version {} of a model file, expected {VERSION}", about.version);
        return Err(tastemaker_nn::Error::Checkpoint { path: path.to_owned(), problem }.into());
    }
    if about.run != run {
        return Err(Error::OtherRun { path: path.to_owned() });
    }
    Ok(checkpoint)
}
