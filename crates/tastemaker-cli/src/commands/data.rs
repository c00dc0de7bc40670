//! `tastemaker data`: prepare and describe.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tastemaker::core::prepare::{self, PrepareOptions, Prepared, Repeats, Ties};
use tastemaker::core::sources::{self, AnySource, Table};

use super::describe;

use crate::{Global, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Read data of any known format, clean it and write it to a folder
    Prepare(Prepare),
    /// Say what is in data of any known format
    Describe(Describe),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Prepare {
    /// A file, a folder, `demo` or `synthetic`
    data: String,
    /// The folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Write over a folder that was prepared before
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// A file, a folder, `demo` or `synthetic`
    data: String,
    #[command(flatten)]
    input: Input,
}

/// How data is read and cleaned.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Reading and cleaning")]
pub(crate) struct Input {
    /// The column with the user, of a table
    #[arg(long, value_name = "COLUMN")]
    user_column: Option<String>,
    /// The column with the item, of a table
    #[arg(long, value_name = "COLUMN")]
    item_column: Option<String>,
    /// The column with the time, of a table
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// The column with the value (rating), of a table
    #[arg(long, value_name = "COLUMN")]
    value_column: Option<String>,
    /// The column with the item's title, of a table
    #[arg(long, value_name = "COLUMN")]
    title_column: Option<String>,
    /// A column with text about the item, of a table; can be given several times
    #[arg(long, value_name = "COLUMN")]
    item_text: Vec<String>,
    /// A column with categories of the item, of a table; can be given several times
    #[arg(long, value_name = "COLUMN")]
    item_categories: Vec<String>,
    /// A column with categories of the user, of a table; can be given several times
    #[arg(long, value_name = "COLUMN")]
    user_categories: Vec<String>,
    /// A table about the items
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// A table about the users
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// What stands between two fields of a table, where it cannot be told
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// Leave out users and items with fewer interactions, again and again until none is left
    #[arg(long, value_name = "K")]
    core: Option<usize>,
    /// Leave out interactions with a smaller value (rating)
    #[arg(long, value_name = "VALUE")]
    min_value: Option<f32>,
    /// Which of several interactions of one user with one item are kept
    #[arg(long, value_enum)]
    repeats: Option<Kept>,
    /// Which of two interactions at the same time is the earlier one: source-order or item-id
    #[arg(long, value_enum)]
    ties: Option<Earlier>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kept {
    First,
    Last,
    All,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Earlier {
    SourceOrder,
    ItemId,
}

impl Input {
    /// The source that `data` is; says what was detected.
    pub(crate) fn source(&self, data: &str) -> anyhow::Result<AnySource> {
        let columns = Table {
            user: self.user_column.clone(),
            item: self.item_column.clone(),
            time: self.time_column.clone(),
            value: self.value_column.clone(),
            title: self.title_column.clone(),
            item_text: self.item_text.clone(),
            item_categories: self.item_categories.clone(),
            user_categories: self.user_categories.clone(),
            items: self.items.clone(),
            users: self.users.clone(),
            delimiter: self.delimiter,
            ..Table::default()
        };
        let detected = sources::detect(Path::new(data), &columns)?;
        tracing::info!("{}", detected.because);
        Ok(detected.source)
    }

    /// Whether anything about the cleaning is said here.
    pub(crate) fn changes_preparation(&self) -> bool {
        self.core.is_some()
            || self.min_value.is_some()
            || self.repeats.is_some()
            || self.ties.is_some()
    }

    /// `options` with what is said here put in.
    pub(crate) fn prepare(&self, options: PrepareOptions) -> PrepareOptions {
        let mut options = match self.core {
            Some(k) => options.with_core(k),
            None => options,
        };
        options.min_value = self.min_value.or(options.min_value);
        match self.repeats {
            Some(Kept::First) => options.repeats = Repeats::First,
            Some(Kept::Last) => options.repeats = Repeats::Last,
            Some(Kept::All) => options.repeats = Repeats::All,
            None => {}
        }
        match self.ties {
            Some(Earlier::SourceOrder) => options.ties = Ties::SourceOrder,
            Some(Earlier::ItemId) => options.ties = Ties::ItemId,
            None => {}
        }
        options
    }

    fn prepared(&self, data: &str) -> anyhow::Result<Prepared> {
        let source = self.source(data)?;
        let prepared = prepare::prepare(&source, &self.prepare(PrepareOptions::default()))?;
        for note in &prepared.manifest.notes {
            tracing::info!("note: {note}");
        }
        Ok(prepared)
    }
}

/// Prepares or describes.
pub(crate) fn run(command: Command, global: &Global) -> anyhow::Result<ExitCode> {
    match command {
        Command::Prepare(arguments) => {
            let prepared = arguments.input.prepared(&arguments.data)?;
            let manifest = prepare::write(&prepared, &arguments.out, arguments.overwrite)?;
            output::write(global.format, &manifest, |manifest| {
                let steps: String = manifest
                    .steps
                    .iter()
                    .map(|step| {
                        let left = step.left;
                        format!(
                            "{}: {} users, {} items, {} interactions left\n",
                            step.what, left.users, left.items, left.interactions
                        )
                    })
                    .collect();
                format!("{steps}{}\nwritten to {}", manifest.order, arguments.out.display())
            })?;
        }
        Command::Describe(arguments) => {
            let prepared = arguments.input.prepared(&arguments.data)?;
            let description = tastemaker::core::describe::describe(&prepared.dataset);
            output::write(global.format, &description, describe::text)?;
            if let Some(attribution) = &prepared.manifest.attribution {
                tracing::info!("{attribution}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
