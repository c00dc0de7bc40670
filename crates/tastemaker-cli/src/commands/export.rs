//! `tastemaker export`: what other tools read of a run.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::endpoint::Tracker;

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
    /// Write losses and metrics to a file of events in this folder, for TensorBoard
    #[arg(long, value_name = "FOLDER", group = "what")]
    tensorboard: Option<PathBuf>,
    /// Tell the MLflow server at this address settings, losses epoch by epoch and metrics
    #[arg(long, value_name = "URL", group = "what")]
    mlflow: Option<String>,
    /// The experiment of MLflow; it is called like the study where absent
    #[arg(long, value_name = "NAME", requires = "mlflow")]
    experiment: Option<String>,
    /// The variable of the environment with the token of an MLflow server that asks for one
    #[arg(long, default_value = "MLFLOW_TRACKING_TOKEN", value_name = "NAME", requires = "mlflow")]
    key_variable: String,
}

/// Writes what is asked for.
#[expect(clippy::disallowed_methods, reason = "a key is a secret, which no command line may hold")]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { run, lists, number, qrels, part, .. } = arguments;
    if let Some(path) = lists {
        let (users, n) = tastemaker::export_lists(run, part.part(), *number, path)?;
        tracing::info!("{users} lists of up to {n} items: {}", path.display());
    }
    if let Some(path) = qrels {
        let users = tastemaker::export_qrels(run, part.part(), path)?;
        tracing::info!("targets of {users} users: {}", path.display());
    }
    if let Some(folder) = &arguments.tensorboard {
        let n = tastemaker::export_tensorboard(run, folder)?;
        tracing::info!("{n} values: {}", folder.display());
    }
    if let Some(url) = &arguments.mlflow {
        let key = std::env::var(&arguments.key_variable).ok().filter(|key| !key.is_empty());
        let tracker = Tracker { url: url.clone(), key };
        let id = tastemaker::export_mlflow(run, &tracker, arguments.experiment.as_deref())?;
        tracing::info!("run {id} at {url}");
    }
    Ok(ExitCode::SUCCESS)
}
