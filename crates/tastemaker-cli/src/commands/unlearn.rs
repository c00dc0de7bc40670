//! `tastemaker unlearn`: a run without some of its users.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::{Leaving, Unlearnt};

use crate::progress::Progress;
use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run
    run: PathBuf,
    #[command(flatten)]
    leaving: Who,
    /// The folder of the new run; delete the old one yourself
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Who is unlearnt.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A user of the data, by its id; can be given several times
    #[arg(long, value_name = "ID")]
    user: Vec<String>,
    /// A file of users' ids, one a line
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
}

/// Unlearns, and says what that took.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let Who { user, users } = &arguments.leaving;
    let leaving = users.clone().map_or_else(|| Leaving::Users(user.clone()), Leaving::File);
    let progress = Progress::new(global.quiet);
    let unlearnt = tastemaker::unlearn(&arguments.run, &leaving, &arguments.out, &progress)?;
    output::write(global.format, &unlearnt, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(unlearnt: &Unlearnt) -> String {
    let Unlearnt { users, recommender, shards, learnt_anew, seconds, seconds_before, folder } =
        unlearnt;
    let how = match shards {
        None => format!("the whole was learnt anew, since {recommender} has no shards"),
        Some(n) => format!("{} of {n} shards were learnt anew: {learnt_anew:?}", learnt_anew.len()),
    };
    let took = |seconds: &Option<f64>| {
        seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds:.2}"))
    };
    format!(
        "{users} users unlearnt; {how}\nseconds of learning: {}, before: {}\n{}",
        took(seconds),
        took(seconds_before),
        folder.display()
    )
}
