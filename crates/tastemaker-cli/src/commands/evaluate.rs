//! `tastemaker evaluate`: a run again, by other metrics or another protocol.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::core::splits::Part;
use tastemaker::eval::{Summary, Targets, Value};
use tastemaker::study::Evaluate;

use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run
    run: PathBuf,
    /// Which targets to foretell
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    part: Of,
    /// A metric with its cut-off, such as ndcg@20, instead of the study's; can be given several times
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    /// Ask for these targets alone
    #[arg(long, value_enum, value_name = "WHICH")]
    targets: Option<Whose>,
    /// Rank the targets among this many sampled items instead of the whole catalog
    #[arg(long, value_name = "N")]
    sampled: Option<usize>,
    /// Ask for this many users alone, drawn at random
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Let items of the history be recommended again
    #[arg(long)]
    allow_seen: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Of {
    Validation,
    #[default]
    Test,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Whose {
    /// Everyone's
    All,
    /// Targets that somebody met in the training part
    Met,
    /// Targets that nobody met in the training part: cold-start items
    Unmet,
}

/// Evaluates and prints the metrics.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let part = match arguments.part {
        Of::Validation => Part::Validation,
        Of::Test => Part::Test,
    };
    let summary = tastemaker::evaluate(&arguments.run, part, settings(arguments)?.as_ref())?;
    output::write(global.format, &summary, text)?;
    Ok(ExitCode::SUCCESS)
}

/// The study's settings, unless any of them is given here.
fn settings(arguments: &Arguments) -> anyhow::Result<Option<Evaluate>> {
    let Arguments { sampled, targets, users, allow_seen, .. } = *arguments;
    let changed = sampled.is_some() || targets.is_some() || users.is_some() || allow_seen;
    if arguments.metric.is_empty() && !changed {
        return Ok(None);
    }
    let mut settings = Evaluate::default();
    if !arguments.metric.is_empty() {
        settings.metrics =
            arguments.metric.iter().map(|metric| metric.parse()).collect::<Result<_, _>>()?;
    }
    settings.sampled = sampled.unwrap_or(0);
    settings.targets = match targets {
        None | Some(Whose::All) => Targets::All,
        Some(Whose::Met) => Targets::Met,
        Some(Whose::Unmet) => Targets::Unmet,
    };
    settings.users = users.unwrap_or(0);
    settings.allow_seen = allow_seen;
    Ok(Some(settings))
}

fn text(summary: &Summary) -> String {
    let headings = ["metric", "mean", "standard error", "users"].map(str::to_owned);
    let row = |value: &Value| {
        let error = value.standard_error.map(|error| format!("{error:.4}")).unwrap_or_default();
        vec![value.metric.clone(), format!("{:.4}", value.mean), error, value.n_users.to_string()]
    };
    let table = output::table(&headings, 1, summary.metrics.iter().map(row).collect());
    format!("{table}\n\n{}", summary.protocol)
}
