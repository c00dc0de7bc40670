//! `tastemaker prompt`: what a language model over text is told of a user.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::{PromptOf, Whose};

use super::recommend::entries;
use crate::{Global, output};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub(crate) struct Arguments {
    /// The folder of a run
    run: PathBuf,
    /// A user of the data, by its id; the prompt is that of the test
    #[arg(long, group = "whose", value_name = "ID")]
    user: Option<String>,
    /// Titles or ids, oldest first, separated by ";"; can be given several times
    #[arg(long, group = "whose", value_name = "ITEMS")]
    history: Vec<String>,
}

/// Shows the prompt.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let whose = match &arguments.user {
        Some(user) => Whose::User(user.clone()),
        None => Whose::History(entries(&arguments.history)),
    };
    let prompt = tastemaker::prompt(&arguments.run, &whose)?;
    let PromptOf { shown, n_tokens, .. } = &prompt;
    let tokens = n_tokens.map(|n| format!("{n} tokens; ")).unwrap_or_default();
    tracing::info!(
        "{tokens}{} items of the history, {} left out for want of room",
        shown.items,
        shown.left_out
    );
    output::write(global.format, &prompt, |prompt| prompt.shown.text.clone())?;
    Ok(ExitCode::SUCCESS)
}
