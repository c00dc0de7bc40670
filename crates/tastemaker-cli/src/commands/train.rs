//! `tastemaker train`: every arm of a study, each evaluated once.

use std::process::ExitCode;

use tastemaker::study::Study;

use super::report::text;
use super::selection::Selection;
use crate::progress::Progress;
use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Read the data, say what cannot be learnt from it, print the resolved study and train nothing
    #[arg(long)]
    dry_run: bool,
}

/// Trains and prints the table of metrics.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let Arguments { selection, dry_run } = arguments;
    let studies = selection.resolve()?;
    if *dry_run {
        studies.iter().try_for_each(tastemaker::check)?;
        let written = |studies: &Vec<Study>| {
            let all = studies.iter().map(|study| study.to_toml().unwrap_or_default());
            all.collect::<Vec<String>>().join("\n")
        };
        output::write_all(global.format, &studies, written)?;
        return Ok(ExitCode::SUCCESS);
    }
    let progress = Progress::new(global.quiet);
    let mut reports = Vec::new();
    for study in &studies {
        reports.push(tastemaker::train(study, &selection.out, &progress)?);
    }
    output::write_all(global.format, &reports, |reports| text(reports))?;
    Ok(ExitCode::SUCCESS)
}
