//! The verbs.

use std::process::ExitCode;

use crate::Global;

mod answers;
mod audit;
mod data;
mod describe;
mod doctor;
mod evaluate;
mod export;
mod fetch;
mod list;
mod probe;
mod prompt;
mod recommend;
mod report;
mod selection;
mod study;
mod train;
mod unlearn;

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Prepare or describe data
    #[command(subcommand)]
    Data(data::Command),
    /// Train every arm of a study and evaluate it once
    Train(train::Arguments),
    /// Run a study: every arm and seed as a process of its own, several at once, and its report
    Study(study::Arguments),
    /// Report what the runs of a study say
    Report(report::Arguments),
    /// Audit runs, recommenders that learn nothing, or lists of other tools: what harm, to whom, how
    /// severe, how measured, how mitigated
    Audit(audit::Arguments),
    /// Evaluate a run again, by other metrics or another protocol, or the lists of another tool
    Evaluate(evaluate::Arguments),
    /// Write what other tools read of a run: lists, targets, losses, metrics
    Export(export::Arguments),
    /// Recommend with a trained run
    Recommend(recommend::Arguments),
    /// Make a run anew as if it had never learnt from some users
    Unlearn(unlearn::Arguments),
    /// Show what a language model over text is told of a user
    Prompt(prompt::Arguments),
    /// Whether a language model over text knows the data by heart
    Probe(probe::Arguments),
    /// Fetch a pre-trained model from a hub
    Fetch(fetch::Arguments),
    /// List what a study can name
    List(list::Arguments),
    /// Say what this machine and this build have
    Doctor(doctor::Arguments),
}

/// Runs a verb.
pub(crate) fn run(command: Command, global: &Global) -> anyhow::Result<ExitCode> {
    match command {
        Command::Data(command) => data::run(command, global),
        Command::Train(arguments) => train::run(&arguments, global),
        Command::Study(arguments) => study::run(&arguments, global),
        Command::Report(arguments) => report::run(&arguments, global),
        Command::Evaluate(arguments) => evaluate::run(&arguments, global),
        Command::Audit(arguments) => audit::run(&arguments, global),
        Command::Export(arguments) => export::run(&arguments),
        Command::Recommend(arguments) => recommend::run(&arguments, global),
        Command::Unlearn(arguments) => unlearn::run(&arguments, global),
        Command::Prompt(arguments) => prompt::run(&arguments, global),
        Command::Probe(arguments) => probe::run(&arguments, global),
        Command::Fetch(arguments) => fetch::run(&arguments, global),
        Command::List(arguments) => list::run(&arguments, global),
        Command::Doctor(arguments) => doctor::run(&arguments, global),
    }
}
