//! `tastemaker evaluate`: a run again, by other metrics or another protocol, or what other tools made.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::Relevance;
use tastemaker::core::lists::Columns;
use tastemaker::core::splits::Part;
use tastemaker::eval::metrics::AnyMetric;
use tastemaker::eval::{Summary, Targets, Value};
use tastemaker::study::{Evaluate, RunFolder};

use super::answers::{self, Answers};
use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run
    #[arg(required_unless_present_any = ["qrels", "ratings", "clicks", "texts"])]
    run: Option<PathBuf>,
    /// Which targets to foretell
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    part: Of,
    /// A metric with its cut-off, such as ndcg@20, instead of the study's; can be given several times
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    /// Ask for these targets alone
    #[arg(long, value_enum, value_name = "WHICH")]
    targets: Option<Whose>,
    /// Rank the targets among this many sampled items; 0 for the whole catalog
    #[arg(long, value_name = "N")]
    sampled: Option<usize>,
    /// Rank the targets among the first of each user's candidates in this file, as many as --sampled says
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    candidates: Option<PathBuf>,
    /// Ask for this many users alone, drawn at random; 0 for all
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Let items of the history be recommended again
    #[arg(long)]
    allow_seen: bool,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    answers: Answers,
}

/// Lists of other tools.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Lists of other tools", mut_group("columns", |group| group.requires("runs")))]
struct Elsewhere {
    /// Evaluate the lists in this file instead of the run's: a table (CSV, TSV, JSON lines, Parquet) with
    /// a user and an item in each row and a rank or a score, or a run of TREC
    #[arg(long, value_name = "FILE")]
    runs: Option<PathBuf>,
    /// What is relevant, instead of a run's targets: qrels of TREC, or a table with a user and an item in
    /// each row
    #[arg(long, value_name = "FILE", requires = "runs", conflicts_with = "run")]
    qrels: Option<PathBuf>,
    /// How many items the catalog has, for metrics that must know; a run says it
    #[arg(long, value_name = "N", requires = "qrels")]
    items: Option<usize>,
    #[command(flatten)]
    columns: ListColumns,
    /// The column of the qrels with the relevance, above 0 for relevant items; "" for none
    #[arg(long, value_name = "COLUMN", requires = "qrels")]
    relevance_column: Option<String>,
}

impl Elsewhere {
    fn columns(&self) -> Columns {
        Columns { relevance: self.relevance_column.clone(), ..self.columns.columns() }
    }
}

/// How a file of lists is written.
#[derive(Debug, clap::Args)]
#[group(id = "columns", multiple = true)]
pub(super) struct ListColumns {
    /// The column with the user
    #[arg(long, value_name = "COLUMN")]
    user_column: Option<String>,
    /// The column with the item
    #[arg(long, value_name = "COLUMN")]
    item_column: Option<String>,
    /// The column with the rank, which comes before the score; "" for none
    #[arg(long, value_name = "COLUMN")]
    rank_column: Option<String>,
    /// The column with the score; "" for none
    #[arg(long, value_name = "COLUMN")]
    score_column: Option<String>,
    /// What stands between two fields of the lists, where it cannot be told
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
}

impl ListColumns {
    pub(super) fn columns(&self) -> Columns {
        Columns {
            user: self.user_column.clone(),
            item: self.item_column.clone(),
            rank: self.rank_column.clone(),
            score: self.score_column.clone(),
            relevance: None,
            delimiter: self.delimiter,
        }
    }
}

/// Which targets.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(super) enum Of {
    Validation,
    #[default]
    Test,
}

impl Of {
    /// As the library is told.
    pub(super) fn part(self) -> Part {
        match self {
            Self::Validation => Part::Validation,
            Self::Test => Part::Test,
        }
    }
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
    let (part, settings) = (arguments.part.part(), settings(arguments)?);
    let Arguments { run, elsewhere, answers, .. } = arguments;
    if let Some(measured) = answers.measured()? {
        output::write(global.format, &measured, answers::text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Elsewhere { runs, qrels, items, .. } = elsewhere;
    let relevance = match (run, qrels) {
        (Some(run), _) => Relevance::Run(run, part),
        (None, Some(path)) => Relevance::File { path, items: *items },
        (None, None) => anyhow::bail!("there is neither the folder of a run nor --qrels"),
    };
    let summary = match (runs, relevance) {
        (None, Relevance::Run(run, part)) => tastemaker::evaluate(run, part, settings.as_ref())?,
        (Some(lists), relevance) => {
            tastemaker::evaluate_lists(lists, &elsewhere.columns(), relevance, settings.as_ref())?
        }
        (None, Relevance::File { .. }) => anyhow::bail!("--qrels is of lists, which --runs names"),
    };
    output::write(global.format, &summary, text)?;
    Ok(ExitCode::SUCCESS)
}

/// The settings of the run's study with what is said here instead; `None` where nothing is.
fn settings(arguments: &Arguments) -> anyhow::Result<Option<Evaluate>> {
    let Arguments { sampled, targets, users, allow_seen, ref candidates, .. } = *arguments;
    let changed = sampled.is_some()
        || candidates.is_some()
        || targets.is_some()
        || users.is_some()
        || allow_seen;
    if arguments.metric.is_empty() && !changed {
        return Ok(None);
    }
    let mut settings = match &arguments.run {
        Some(run) => RunFolder::open(run)?.study()?.evaluate,
        None => Evaluate::default(),
    };
    // How lists from elsewhere were made, nothing here decides, nor what else was named.
    if arguments.elsewhere.runs.is_some() {
        (settings.sampled, settings.candidates, settings.noise) = (0, None, 0.0);
        settings.metrics.retain(|metric| !matches!(metric, AnyMetric::InvalidRate(_)));
    }
    if !arguments.metric.is_empty() {
        settings.metrics =
            arguments.metric.iter().map(|metric| metric.parse()).collect::<Result<_, _>>()?;
    }
    settings.sampled = sampled.unwrap_or(settings.sampled);
    settings.candidates = match sampled {
        Some(0) => None,
        _ => candidates.clone().or(settings.candidates),
    };
    settings.targets = match targets {
        None => settings.targets,
        Some(Whose::All) => Targets::All,
        Some(Whose::Met) => Targets::Met,
        Some(Whose::Unmet) => Targets::Unmet,
    };
    settings.users = users.unwrap_or(settings.users);
    settings.allow_seen |= allow_seen;
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
