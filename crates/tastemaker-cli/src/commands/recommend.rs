//! `tastemaker recommend`: what a trained run recommends.

use std::path::PathBuf;
use std::process::ExitCode;

use tastemaker::{Recommendation, Whose};

use crate::{Global, output};

/// For whom.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct For {
    /// A user of the data, by its id
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
    /// Titles or ids, oldest first, separated by ";"; can be given several times
    #[arg(long, value_name = "ITEMS")]
    history: Vec<String>,
}

impl For {
    /// As the library is told.
    pub(super) fn whose(&self) -> Whose {
        match &self.user {
            Some(user) => Whose::User(user.clone()),
            None => Whose::History(entries(&self.history)),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run
    run: PathBuf,
    #[command(flatten)]
    whose: For,
    /// How many items to recommend
    #[arg(short = 'n', long, default_value_t = 10)]
    number: usize,
}

/// Recommends and says from what.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let whose = arguments.whose.whose();
    let recommendation = tastemaker::recommend(&arguments.run, &whose, arguments.number)?;
    if arguments.whose.user.is_none() {
        for matched in &recommendation.history {
            let title =
                matched.title.as_ref().map(|title| format!("{title:?} ")).unwrap_or_default();
            tracing::info!(
                "{:?} was taken for {title}(id {}) by {}",
                matched.written,
                matched.id,
                matched.by
            );
        }
    }
    output::write(global.format, &recommendation, text)?;
    Ok(ExitCode::SUCCESS)
}

fn entries(written: &[String]) -> Vec<String> {
    let parts = written.iter().flat_map(|entry| entry.split(';')).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn text(recommendation: &Recommendation) -> String {
    let titles = recommendation.items.iter().any(|item| item.title.is_some());
    let mut headings = vec!["", "score", "id"];
    if titles {
        headings.push("title");
    }
    let row = |item: &tastemaker::Listed| {
        let mut row = vec![item.rank.to_string(), format!("{:.4}", item.score), item.item.clone()];
        if titles {
            row.push(item.title.clone().unwrap_or_default());
        }
        row
    };
    let headings: Vec<String> = headings.into_iter().map(str::to_owned).collect();
    output::table(&headings, headings.len(), recommendation.items.iter().map(row).collect())
}
