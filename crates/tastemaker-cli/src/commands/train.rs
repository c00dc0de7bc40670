//! `tastemaker train`: every arm of a study, each evaluated once.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tastemaker::study::{self, Study};
use tastemaker::{ArmReport, Compared, Family, Report};

use super::data::Input;
use crate::progress::Progress;
use crate::{Global, output};

/// The arms of a study that is not written down: the usual language model beside a control.
const USUAL: [&str; 2] = ["most-popular", "language-model"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The study file; without one, --data is trained on with the usual settings
    study: Option<PathBuf>,
    /// Data to use instead of the study's: a file, a folder, `demo` or `synthetic`
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    #[command(flatten)]
    input: Input,
    /// Train this recommender instead of the study's arms; can be given several times
    #[arg(long, value_name = "NAME")]
    recommender: Vec<String>,
    /// Use this seed instead of the study's; can be given several times
    #[arg(long, value_name = "N")]
    seed: Vec<u64>,
    /// Change a setting of the study, for example arm.language-model.recommender.language-model.training.epochs=5
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where the folders of the runs are
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    out: PathBuf,
    /// Compare the arms, user by user, with the one that is best over the validation targets
    #[arg(long)]
    compare: bool,
    /// Read the data, say what cannot be learnt from it, print the resolved study and train nothing
    #[arg(long)]
    dry_run: bool,
}

/// Trains and prints the table of metrics.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let study = resolve(arguments)?;
    if arguments.dry_run {
        tastemaker::check(&study)?;
        output::write(global.format, &study, |study| study.to_toml().unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = tastemaker::train(&study, &arguments.out, &Progress::new(global.quiet))?;
    if arguments.compare {
        report.comparisons = tastemaker::compare(&study, &report)?;
    }
    output::write(global.format, &report, text)?;
    Ok(ExitCode::SUCCESS)
}

fn resolve(arguments: &Arguments) -> anyhow::Result<Study> {
    let text = match &arguments.study {
        Some(path) => fs_err::read_to_string(path)?,
        None => {
            let data = arguments.data.as_deref().context(
                "nothing says what to train on; give a study file or --data (for example --data demo)",
            )?;
            written(data, &arguments.recommender)
        }
    };
    let file = arguments
        .study
        .as_ref()
        .map_or("the usual study".to_owned(), |path| path.display().to_string());
    let mut study = study::parse(&file, &text, &arguments.set)?;
    for note in &study.notes {
        tracing::warn!("note: {note}");
    }
    if let Some(data) = &arguments.data {
        study.dataset = arguments.input.source(data)?;
    }
    if arguments.input.changes_preparation() {
        study.prepare = arguments.input.prepare(study.prepare);
    }
    if !arguments.seed.is_empty() {
        study.study.seeds.clone_from(&arguments.seed);
    }
    if arguments.study.is_some() && !arguments.recommender.is_empty() {
        let known: Vec<String> = study.arm.iter().map(|arm| arm.name.clone()).collect();
        for wanted in &arguments.recommender {
            if !known.contains(wanted) {
                return Err(tastemaker::core::Error::unknown(
                    "arm",
                    wanted,
                    known.iter().map(String::as_str),
                )
                .into());
            }
        }
        study.arm.retain(|arm| arguments.recommender.contains(&arm.name));
    }
    Ok(study)
}

/// The study that a command line without a study file stands for.
fn written(data: &str, recommenders: &[String]) -> String {
    let name: String = std::path::Path::new(data)
        .file_stem()
        .map_or_else(|| data.to_owned(), |stem| stem.to_string_lossy().into_owned())
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    let usual = || USUAL.map(str::to_owned).to_vec();
    let recommenders = if recommenders.is_empty() { usual() } else { recommenders.to_vec() };
    let arms: String = recommenders
        .iter()
        .map(|name| format!("[[arm]]\nname = {name:?}\nrecommender = {{ {name} = {{}} }}\n"))
        .collect();
    // The source is put in afterwards, once the data has been looked at.
    format!("[study]\nname = {name:?}\nseeds = [1]\n[dataset.demo]\n{arms}")
}

fn text(report: &Report) -> String {
    let Some(first) = report.arms.first() else { return String::new() };
    let mut headings = vec![format!("{} (test)", report.study)];
    headings.extend(first.test.iter().map(|cell| cell.metric.clone()));
    let measured = report.arms.iter().any(|arm| arm.costs.is_some());
    if measured {
        headings.extend(COSTS.map(str::to_owned));
    }
    let row = |arm: &ArmReport| {
        let cell = |cell: &tastemaker::Cell| match cell.deviation {
            Some(deviation) => format!("{:.4} ± {deviation:.4}", cell.mean),
            None => format!("{:.4}", cell.mean),
        };
        let costs = if measured { costs(arm.costs).to_vec() } else { vec![] };
        std::iter::once(arm.arm.clone()).chain(arm.test.iter().map(cell)).chain(costs).collect()
    };
    let table = output::table(&headings, 1, report.arms.iter().map(row).collect());
    let folders: Vec<String> = report
        .arms
        .iter()
        .flat_map(|arm| &arm.folders)
        .map(|folder| format!("  {}", folder.display()))
        .collect();
    let comparisons: Vec<String> = report.comparisons.iter().map(compared).collect();
    let (comparisons, protocol) = (comparisons.concat(), &report.protocol);
    format!("{table}\n\n{protocol}\n{comparisons}Runs:\n{}", folders.join("\n"))
}

/// How arms differ from one of them in a metric.
fn compared(family: &Family) -> String {
    let Family { metric, against, arms } = family;
    let headings =
        [&format!("{metric} against {against}"), "difference", "95 %", "p", "p (Holm)", "d"];
    let row = |Compared { arm, comparison, holm, .. }: &Compared| {
        let [from, to] = comparison.interval;
        vec![
            arm.clone(),
            format!("{:+.4}", comparison.difference),
            format!("{from:+.4} to {to:+.4}"),
            format!("{:.4}", comparison.randomisation),
            format!("{holm:.4}"),
            format!("{:+.2}", comparison.cohens_d),
        ]
    };
    let n = arms.first().map_or(0, |arm| arm.comparison.n_users);
    let table = output::table(&headings.map(str::to_owned), 1, arms.iter().map(row).collect());
    format!("\n{table}\nover {n} users, means of their seeds; p by random signs\n\n")
}

/// What the columns of costs are called.
const COSTS: [&str; 7] =
    ["trained", "epochs", "epochs before", "s", "s before", "MiB", "MiB before"];

/// Numbers that learnt, epochs and those of pre-training before, seconds likewise, memory.
fn costs(costs: Option<tastemaker::Costs>) -> [String; 7] {
    let unknown = || "–".to_owned();
    let Some(costs) = costs else { return std::array::from_fn(|_| unknown()) };
    let epochs = |epochs: Option<f64>| match epochs {
        Some(epochs) if epochs.fract() == 0.0 => format!("{epochs}"),
        Some(epochs) => format!("{epochs:.1}"),
        None => unknown(),
    };
    [
        costs.trained_parameters.to_string(),
        epochs(costs.epochs),
        epochs(costs.pretraining_epochs),
        format!("{:.1}", costs.seconds),
        format!("{:.1}", costs.pretraining_seconds),
        (costs.peak_memory >> 20).to_string(),
        (costs.pretraining_peak_memory >> 20).to_string(),
    ]
}
