//! `tastemaker fetch`: a pre-trained model from a hub.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::endpoint::{Fetched, Hub};

use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The model, as the hub calls it
    #[arg(value_name = "OWNER/NAME")]
    model: String,
    /// One file of it, as a GGUF, instead of the files of its folder
    #[arg(long)]
    file: Option<String>,
    /// A branch, a tag or a commit
    #[arg(long, default_value = "main")]
    revision: String,
    /// The folder of models in which it gets its own
    #[arg(long, default_value = "models")]
    into: PathBuf,
    /// The hub; what `HF_ENDPOINT` names, or <https://huggingface.co>, where absent
    #[arg(long)]
    hub: Option<String>,
    /// The variable of the environment with the key of models that need permission; `HF_TOKEN` for
    /// the hub that is used if none is said
    #[arg(long)]
    key_variable: Option<String>,
}

/// Fetches, and says what came.
#[expect(clippy::disallowed_methods, reason = "a key is a secret, which no command line may hold")]
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let url = arguments.hub.clone().unwrap_or_else(Hub::usual);
    let key = match &arguments.key_variable {
        Some(variable) => std::env::var(variable).ok(),
        None => Hub::usual_key(&url),
    };
    let hub = Hub {
        url,
        model: arguments.model.clone(),
        revision: arguments.revision.clone(),
        file: arguments.file.clone(),
        key: key.filter(|key| !key.is_empty()),
    };
    let fetched = hub.fetch(&arguments.into)?;
    output::write(global.format, &fetched, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(fetched: &Fetched) -> String {
    let Fetched { model, commit, folder, files, .. } = fetched;
    let files: Vec<&str> = files.iter().map(|(name, _)| &name[..]).collect();
    format!("{model} at {commit}: {} in {}", files.join(", "), folder.display())
}
