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
    /// The hub
    #[arg(long, default_value = "https://huggingface.co")]
    hub: String,
    /// The variable of the environment with the key of models that need permission
    #[arg(long, default_value = "HF_TOKEN")]
    key_variable: String,
}

/// Fetches, and says what came.
#[expect(clippy::disallowed_methods, reason = "a key is a secret, which no command line may hold")]
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let hub = Hub {
        url: arguments.hub.clone(),
        model: arguments.model.clone(),
        revision: arguments.revision.clone(),
        file: arguments.file.clone(),
        key: std::env::var(&arguments.key_variable).ok(),
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
