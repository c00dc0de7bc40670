//! `tastemaker prompt`: what a language model over text is told of a user.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::PromptOf;

use super::recommend::For;
use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run
    run: PathBuf,
    #[command(flatten)]
    whose: For,
}

/// Shows the prompt.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let prompt = tastemaker::prompt(&arguments.run, &arguments.whose.whose())?;
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
