//! What goes to standard output, tables for people and JSON for programs, and to files.

use std::io::Write;
use std::path::Path;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;
use tastemaker::core::artifact::write_atomically;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// Writes `value`: as JSON, or as the text that `table` makes of it.
pub(crate) fn write<T: Serialize>(
    format: Format,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value)?,
        Format::Table => table(value),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()?;
    Ok(())
}

/// The same of several values, one of which stands by itself.
pub(crate) fn write_all<T: Serialize>(
    format: Format,
    values: &Vec<T>,
    table: impl FnOnce(&Vec<T>) -> String,
) -> anyhow::Result<()> {
    match (format, &values[..]) {
        (Format::Json, [value]) => write(format, value, |_| String::new()),
        _ => write(format, values, table),
    }
}

/// Writes `text` to the file at `path`, and says where `what` is.
pub(crate) fn file(what: &str, path: &Path, text: &str) -> anyhow::Result<()> {
    write_atomically(path, |out| out.write_all(text.as_bytes()))?;
    tracing::info!("{what}: {}", path.display());
    Ok(())
}

/// A table with these headings, whose columns from `numbers` on are aligned to the right.
pub(crate) fn table(headings: &[String], numbers: usize, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    for column in numbers..headings.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}
