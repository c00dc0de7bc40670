//! `tastemaker list`: the tables.

use std::collections::BTreeMap;
use std::process::ExitCode;

use tastemaker::core::Error;
use tastemaker::core::registry::Entry;

use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One kind only: adapters, backbones, harms, metrics, mitigations, objectives, paradigms, recommenders, sources, splits or verbalizers
    kind: Option<String>,
}

/// Prints the tables.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let mut tables = tastemaker::tables();
    if let Some(kind) = &arguments.kind {
        let kinds = || tables.iter().map(|(kind, _)| *kind);
        if !kinds().any(|known| known == kind) {
            return Err(Error::unknown("kind", kind, kinds()).into());
        }
        tables.retain(|(known, _)| known == kind);
    }
    let named: BTreeMap<&str, BTreeMap<&str, &str>> = tables
        .iter()
        .map(|(kind, entries)| {
            (*kind, entries.iter().map(|entry| (entry.name, entry.summary)).collect())
        })
        .collect();
    output::write(global.format, &named, |_| {
        tables.iter().map(|(kind, entries)| text(kind, entries)).collect()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(kind: &str, entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let lines: String = entries
        .iter()
        .map(|entry| format!("  {:width$}  {}\n", entry.name, entry.summary))
        .collect();
    format!("{kind}\n{lines}\n")
}
