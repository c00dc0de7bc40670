//! `tastemaker report`: what the runs of a study say, as a table and as files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tastemaker::hygiene::{Finding, Verdict};
use tastemaker::report::{self, ArmReport, Cell, Compared, Costs, Family, Report};
use tastemaker::study::WholeStudy;

use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a study, or of one of its regimes, below `runs`; several go into one report
    #[arg(required = true)]
    folder: Vec<PathBuf>,
    /// Write it here, as HTML, Markdown, LaTeX or JSON by the ending; can be given several times
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
}

/// Reads the runs, compares them, writes the files and prints the tables.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    for path in &arguments.out {
        maker(path)?;
    }
    let mut reports = Vec::new();
    for folder in arguments.folder.iter().flat_map(|folder| match WholeStudy::folders(folder) {
        // What is no study is said by who reads it.
        none if none.is_empty() => vec![folder.clone()],
        folders => folders,
    }) {
        reports.push(tastemaker::report(&folder)?);
    }
    write(&reports, &arguments.out)?;
    output::write_all(global.format, &reports, |reports| text(reports))?;
    Ok(ExitCode::SUCCESS)
}

/// What makes a file of reports.
pub(super) type Maker = fn(&[Report]) -> tastemaker::Result<String>;

/// Writes the reports to each of the files.
pub(crate) fn write(reports: &[Report], paths: &[PathBuf]) -> anyhow::Result<()> {
    for path in paths {
        output::file("report", path, &maker(path)?(reports)?)?;
    }
    Ok(())
}

/// What makes a file with the ending of `path`.
pub(super) fn maker(path: &Path) -> anyhow::Result<Maker> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => Ok(report::html),
        Some("md") => Ok(report::markdown),
        Some("tex") => Ok(report::latex),
        Some("json") => Ok(report::json),
        _ => anyhow::bail!(
            "{}: the ending is none of .html, .md, .tex and .json, one of which says what to write",
            path.display()
        ),
    }
}

/// The tables of reports.
pub(crate) fn text(reports: &[Report]) -> String {
    reports.iter().map(of_one).collect::<Vec<String>>().join("\n\n")
}

fn of_one(report: &Report) -> String {
    let Some(first) = report.arms.first() else { return String::new() };
    let mut headings = vec![format!("{} (test)", report.study)];
    headings.extend(first.test.iter().map(|cell| cell.metric.clone()));
    let measured = report.arms.iter().any(|arm| arm.costs.is_some());
    if measured {
        headings.extend(COSTS.map(str::to_owned));
    }
    let row = |arm: &ArmReport| {
        let cell = |cell: &Cell| match cell.deviation {
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
    let main = report.main_metric();
    let families = report.comparisons.iter().filter(|family| family.metric == main);
    let comparisons: Vec<String> = families.map(compared).collect();
    let (comparisons, protocol) = (comparisons.concat(), &report.protocol);
    let grave = report.hygiene.iter().filter(|finding| finding.verdict > Verdict::Fine);
    let told = grave.map(|Finding { check, verdict, message }| {
        format!("{}: {check}: {message}\n", verdict.name())
    });
    let findings: String = told.collect();
    format!("{table}\n\n{protocol}\n{findings}{comparisons}Runs:\n{}", folders.join("\n"))
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
fn costs(costs: Option<Costs>) -> [String; 7] {
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
