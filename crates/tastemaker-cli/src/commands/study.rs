//! `tastemaker study`: every run of a study as a process of its own, several at once, and its report.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::study::{Arm, RunFolder, Study, WholeStudy, study_folder};
use tastemaker::{Plan, PlannedArm};

use super::report;
use super::selection::Selection;
use crate::jobs::{Job, Jobs};
use crate::meter::{Process, available_memory};
use crate::{Global, output};

/// The share of the free memory that runs may take together.
const SHARE: f64 = 0.8;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Runs at once, each with its part of the threads; as many as there are threads where absent
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Memory that the runs may take together, in GiB; 80 % of what is free where absent
    #[arg(long, value_name = "GIB")]
    memory: Option<f64>,
    /// Say what would be run, how many parameters would learn and how long it would take; train nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the report here too, as HTML, Markdown, LaTeX or JSON by the ending
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
}

/// Runs all of it and reports.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let Arguments { selection, .. } = arguments;
    arguments.report.iter().try_for_each(|path| report::maker(path).map(drop))?;
    let studies = selection.resolve()?;
    if arguments.dry_run {
        return plan(&studies, arguments, global);
    }
    studies.iter().try_for_each(tastemaker::check)?;
    let jobs = Jobs {
        at_once: at_once(arguments),
        threads: rayon::current_num_threads().div_ceil(at_once(arguments)),
        memory: arguments
            .memory
            .map_or_else(|| available_memory() as f64 * SHARE, |gib| gib * f64::from(1 << 30)),
    };
    for study in &studies {
        WholeStudy::note(study, &selection.out)?;
    }
    let failed = jobs.run(studies.iter().flat_map(|study| of_study(study, selection)).collect())?;
    if !failed.is_empty() {
        anyhow::bail!("{} runs could not be done: {}", failed.len(), failed.join(", "));
    }
    let mut reports = Vec::new();
    for study in &studies {
        reports.push(tastemaker::report(&study_folder(&selection.out, study))?);
    }
    let folder = studies.first().map(|study| selection.out.join(&study.study.name));
    let usual = folder.iter().flat_map(|folder| {
        ["html", "md", "tex", "json"].map(|ending| folder.join("report").with_extension(ending))
    });
    report::write(&reports, &usual.chain(arguments.report.iter().cloned()).collect::<Vec<_>>())?;
    output::write_all(global.format, &reports, |reports| report::text(reports))?;
    Ok(ExitCode::SUCCESS)
}

fn at_once(arguments: &Arguments) -> usize {
    arguments.jobs.unwrap_or_else(rayon::current_num_threads).max(1)
}

/// A job a run, each of the study as it was resolved. One run makes what runs share while the others wait:
/// those of an arm its search, those of a seed a pre-trained model; so the ones beside each other differ in
/// their arms where settings are searched for, and else in their seeds.
fn of_study(study: &Study, selection: &Selection) -> Vec<Job> {
    let folder = study_folder(&selection.out, study);
    let job = |arm: &Arm, seed: u64| {
        let run = RunFolder::of(&selection.out, study, arm, seed);
        let resolved = folder.join(WholeStudy::FILE).display().to_string();
        let out = selection.out.display().to_string();
        let written = seed.to_string();
        let arguments =
            ["train", &resolved, "--recommender", &arm.name, "--seed", &written, "--out", &out];
        Job {
            name: format!("{}: {} (seed {seed})", study.study.title(), arm.name),
            arm: folder.join(&arm.name),
            ended: arm.space.is_empty() && run.is_of(&study.one(arm, seed)),
            arguments: arguments.map(str::to_owned).into(),
        }
    };
    let seeds = &study.study.seeds;
    if study.search.is_some() {
        let of_seed = |&seed: &u64| study.arm.iter().map(move |arm| (arm, seed));
        seeds.iter().flat_map(of_seed).map(|(arm, seed)| job(arm, seed)).collect()
    } else {
        let of_arm = |arm| seeds.iter().map(move |&seed| (arm, seed));
        study.arm.iter().flat_map(of_arm).map(|(arm, seed)| job(arm, seed)).collect()
    }
}

fn plan(studies: &[Study], arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let clock = Process::new();
    let mut plans: Vec<Plan> = Vec::new();
    for study in studies {
        tracing::info!("{}: a little of each arm is tried", study.study.title());
        plans.push(tastemaker::plan(study, &arguments.selection.out, &clock)?);
    }
    output::write_all(global.format, &plans, |plans| {
        let tables: Vec<String> = plans.iter().map(planned).collect();
        let seconds: f64 = plans.iter().map(Plan::seconds).sum();
        let threads = rayon::current_num_threads();
        format!(
            "{}\n\nAbout {} at most, one run after the other with {threads} threads each; early stopping makes \
             it less, and several at once too where runs do not use all threads.",
            tables.join("\n\n"),
            time(seconds),
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn planned(plan: &Plan) -> String {
    let headings =
        [&plan.study[..], "recommender", "trials", "runs left", "parameters that learn", "a run"];
    let row = |arm: &PlannedArm| {
        let stages: Vec<String> = arm
            .stages
            .iter()
            .map(|stage| match &stage.stage {
                Some(name) => format!("{name} {}", stage.trained_parameters),
                None => stage.trained_parameters.to_string(),
            })
            .collect();
        let how = if arm.is_measured { "" } else { "at most " };
        vec![
            arm.arm.clone(),
            arm.recommender.clone(),
            arm.trials.to_string(),
            arm.runs_left.to_string(),
            if stages.is_empty() { "–".to_owned() } else { stages.join(", ") },
            format!("{how}{}", time(arm.seconds)),
        ]
    };
    output::table(&headings.map(str::to_owned), 2, plan.arms.iter().map(row).collect())
}

/// Seconds as people say them.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
