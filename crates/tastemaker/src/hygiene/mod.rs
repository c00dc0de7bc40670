//! What can make the numbers of a study say something else than they seem to.
//!
//! Every check looks at a study, its data and, once there are any, its results, and says what it finds; a
//! study is never changed or stopped by them.

#![expect(clippy::unnecessary_wraps, reason = "other checks have nothing to look at, sometimes")]

use serde::Serialize;
use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::SplitSets;

use crate::study::{RunFolder, RunResult, Study};

mod ids;
mod popularity;
mod protocol;
mod repeats;
mod time;
mod tuning;
mod unmet;

/// What checks look at.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The study.
    pub study: &'a Study,
    /// Its data.
    pub data: &'a Prepared,
    /// How it is divided.
    pub split: &'a SplitSets,
    /// The runs that have ended.
    pub results: &'a [(RunResult, RunFolder)],
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// How grave it is.
    pub verdict: Verdict,
    /// What was found, in a sentence or two.
    pub message: String,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Looked at, and nothing was found.
    Fine,
    /// Something a reader of the numbers should know.
    Note,
    /// Something that makes numbers mean less than they seem to.
    Warning,
}

impl Verdict {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Warning => "warning",
        }
    }
}

/// A verdict and its sentence; `None` where there is nothing to look at.
type Found = Option<(Verdict, String)>;

/// A check, and what it is called.
type Check = (&'static str, fn(&Subject<'_>) -> Found);

/// Every check, in the order in which they are told.
const CHECKS: [Check; 11] = [
    ("time", time::later_than_targets),
    ("repeats", repeats::unreachable),
    ("cold-start items", unmet::targets),
    ("order of ids", ids::order),
    ("popularity", popularity::counted_on_targets),
    ("sampled metrics", protocol::sampled),
    ("candidates", protocol::candidates),
    ("ties", protocol::ties),
    ("users", protocol::users),
    ("seeds", protocol::seeds),
    ("tuning", tuning::budgets),
];

/// What the checks find.
pub fn inspect(subject: &Subject<'_>) -> Vec<Finding> {
    let found = CHECKS.iter().filter_map(|(check, look)| {
        let (verdict, message) = look(subject)?;
        Some(Finding { check, verdict, message })
    });
    found.collect()
}

/// A share as people read it.
fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.1 => "less than 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}
