//! `tastemaker export`: what other tools read of a run.

use std::path::PathBuf;
use std::process::ExitCode;

use super::evaluate::Of;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct Arguments {
    /// The folder of a run
    run: PathBuf,
    /// Write the lists of everyone with targets to this file, in the format that its name ends in: .trec
    /// or .run, .csv, .tsv, .jsonl, .parquet
    #[arg(long, value_name = "FILE", group = "what")]
    lists: Option<PathBuf>,
    /// How many items a list has; as many as the study's metrics look at where absent
    #[arg(short = 'n', long, requires = "lists")]
    number: Option<usize>,
    /// Write the targets to this file, as qrels of TREC
    #[arg(long, value_name = "FILE", group = "what")]
    qrels: Option<PathBuf>,
    /// Which targets
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    part: Of,
}

/// Writes what is asked for.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { run, lists, number, qrels, part } = arguments;
    if let Some(path) = lists {
        let (users, n) = tastemaker::export_lists(run, part.part(), *number, path)?;
        tracing::info!("{users} lists of up to {n} items: {}", path.display());
    }
    if let Some(path) = qrels {
        let users = tastemaker::export_qrels(run, part.part(), path)?;
        tracing::info!("targets of {users} users: {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}
