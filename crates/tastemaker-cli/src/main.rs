//! The `tastemaker` command line: one verb a file, each calling one library function.

use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

mod commands;
mod jobs;
mod meter;
mod output;
mod progress;

/// Keeps pages it has got, which is worth up to twice the speed of training.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains, compares, audits and serves recommenders built on language models.
#[derive(Debug, Parser)]
#[command(name = "tastemaker", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
    #[command(flatten)]
    global: Global,
}

/// What every verb understands.
#[derive(Debug, clap::Args)]
struct Global {
    /// How results are written to standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
    /// Threads to compute with; all cores where absent. Results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Say less: errors only
    #[arg(long, short, global = true)]
    quiet: bool,
}

const AFTER_HELP: &str = "Results go to standard output, everything else to standard error.\n\
Exit status: 0 done, 1 done but a gate failed, 2 could not be done.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = if arguments.global.quiet { LevelFilter::ERROR } else { LevelFilter::INFO };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .with_level(false)
        .init();
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = arguments.global.threads {
        pool = pool.num_threads(threads);
    }
    if let Err(error) = pool.build_global() {
        tracing::error!("error: cannot start {:?} threads: {error}", arguments.global.threads);
        return ExitCode::from(2);
    }
    match commands::run(arguments.command, &arguments.global) {
        Ok(code) => code,
        // The reader has what it wanted (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
            let causes: String =
                causes.iter().map(|cause| format!("\n  caused by: {cause}")).collect();
            tracing::error!("error: {error}{causes}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is = |error: &(dyn std::error::Error + 'static)| {
        error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    /// The commands in the documents, without their comments.
    fn documented() -> Vec<Vec<String>> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut commands = Vec::new();
        for document in ["README.md", "docs/guide/quickstart.md", "docs/guide/evaluating.md"] {
            let text = fs_err::read_to_string(root.join(document)).unwrap();
            for block in text.split("```sh\n").skip(1) {
                for line in block.split("```").next().unwrap_or_default().lines() {
                    let ours = line
                        .strip_prefix("cargo run --release -- ")
                        .or(line.strip_prefix("tastemaker "));
                    if let Some(arguments) = ours {
                        // Quotes hold an argument with blanks together.
                        let parts = arguments.split('"').enumerate();
                        let words = parts.flat_map(|(i, part)| match i % 2 {
                            0 => part.split_whitespace().map(str::to_owned).collect(),
                            _ => vec![part.to_owned()],
                        });
                        commands
                            .push(std::iter::once("tastemaker".to_owned()).chain(words).collect());
                    }
                }
            }
        }
        commands
    }

    #[test]
    fn the_documents_commands_are_understood() {
        assert!(documented().len() >= 6);
        for command in documented() {
            Arguments::try_parse_from(&command)
                .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        }
    }

    #[test]
    fn the_help_is_what_it_was() {
        insta::assert_snapshot!(Arguments::command().render_long_help());
    }
}
