//! `tastemaker doctor`: what this machine and this build have.

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::{Global, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Prints what this machine and this build have.
pub(crate) fn run(_arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    let mut facts: BTreeMap<&str, String> = BTreeMap::new();
    facts.insert("version", env!("CARGO_PKG_VERSION").to_owned());
    facts.insert(
        "build",
        if cfg!(debug_assertions) { "debug: slow, use --release" } else { "release" }.to_owned(),
    );
    facts.insert("platform", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    facts.insert("threads", rayon::current_num_threads().to_string());
    facts.insert("instructions", tastemaker::nn::instructions());
    facts.insert("gpu", "not in this build".to_owned());
    let folder = std::env::current_dir()?;
    let writable =
        tempfile::tempfile_in(&folder).map_or_else(|error| error.to_string(), |_| "yes".to_owned());
    facts.insert("working folder", folder.display().to_string());
    facts.insert("working folder can be written to", writable);
    output::write(global.format, &facts, |facts| {
        let width = facts.keys().map(|name| name.len()).max().unwrap_or(0);
        facts.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    })?;
    Ok(ExitCode::SUCCESS)
}
