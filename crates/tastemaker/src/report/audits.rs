//! Audits as pages.

use std::path::Path;

use serde::Serialize;
use tastemaker_audit::harms::Governance;
use tastemaker_audit::{Cell, Findings, Indicator, Severity, Stakeholder, blind};
use tastemaker_core::Error;

use super::charts::{self, Chart};
use super::interviews::{Answered, Question, called, questions};
use super::pages::{data, render};
use crate::{Audited, Result};

/// What a page shows of an audit beside its data.
#[derive(Serialize)]
struct Shown<'a> {
    audited: &'a Audited,
    stakeholders: [&'static str; 5],
    /// A row a harm: its name, and a word for each stakeholder.
    matrix: Vec<(&'a str, Vec<Word>)>,
    /// Every field of the record, with what it asks and what is filled in.
    record: Vec<(String, String, Option<&'a str>)>,
    trade_offs: Vec<Chart>,
    questions: Vec<(&'static str, Question)>,
    /// What people answered, with who was asked.
    answers: Vec<(&'static str, &'a Answered)>,
    blind: Vec<&'static str>,
    /// The worst of each harm.
    worst: Vec<Word>,
    /// What those below are called.
    names: [&'static str; 10],
    /// Some indicators, the same of every audit in one report; `None` where one was not measured.
    compared: Vec<Option<&'a Indicator>>,
}

/// Indicators that are told side by side, with what they are of where that must be so.
const COMPARED: [&str; 10] = [
    "ndcg-gap",
    "popularity-lift",
    "long-tail",
    "provider-gini",
    "diversity",
    "miscalibration",
    "coverage",
    "likeness",
    "attribute-auc",
    "attack-success",
];

/// A severity as it is shown.
#[derive(Serialize)]
struct Word {
    found: &'static str,
    suspected: &'static str,
}

/// One HTML file that opens without a network and without scripts.
pub fn audit_html(audited: &[Audited]) -> Result<String> {
    let shown: Vec<Shown<'_>> = audited.iter().map(shown).collect();
    render("audit.html", include_str!("pages/audit.html"), (&shown, &audit_json(audited)?))
}

/// The same in Markdown, without charts.
pub fn audit_markdown(audited: &[Audited]) -> Result<String> {
    let shown: Vec<Shown<'_>> = audited.iter().map(shown).collect();
    render("audit.md", include_str!("pages/audit.md"), (&shown, ""))
}

/// All of it as data.
pub fn audit_json(audited: &[Audited]) -> Result<String> {
    data(audited)
}

/// Reads what [`audit_json`] wrote, to be put into a report with others.
///
/// # Errors
/// With the line of what is no audit of this version.
pub fn read_audits(path: &Path) -> Result<Vec<Audited>> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let one = text.starts_with('{').then(|| serde_json::from_str(&text).map(|one| vec![one]));
    let read = one.unwrap_or_else(|| serde_json::from_str(&text));
    let expected = "expected what audit --out FILE.json has written";
    let audits: Vec<Audited> = read
        .map_err(|error| Error::line(path, error.line() as u64, format!("{error}; {expected}")))?;
    if audits.is_empty() {
        return Err(Error::file(path, format!("holds no audit, {expected}")).into());
    }
    Ok(audits)
}

fn shown(audited: &Audited) -> Shown<'_> {
    let cell = |cell: &Cell| word([cell.severity, cell.suspected], cell.indicators.is_empty());
    let row = |findings: &'_ Findings| findings.cells.iter().map(cell).collect();
    let worst = |findings: &Findings| word(findings.worst(), findings.indicators.is_empty());
    let record = Governance::fields().into_iter().map(|(name, asks)| {
        let filled = audited.record.get(&name).map(String::as_str);
        (name, asks, filled.filter(|text| !text.trim().is_empty()))
    });
    Shown {
        audited,
        stakeholders: Stakeholder::ALL.map(called),
        matrix: audited.audit.findings.iter().map(|f| (&f.harm[..], row(f))).collect(),
        record: record.collect(),
        trade_offs: audited.trade_offs.iter().map(charts::trade_off).collect(),
        questions: questions(audited).into_iter().map(|q| (called(q.stakeholder), q)).collect(),
        answers: audited.answers.iter().map(|of| (called(of.stakeholder), of)).collect(),
        blind: blind().collect(),
        worst: audited.audit.findings.iter().map(worst).collect(),
        names: COMPARED,
        compared: COMPARED.iter().map(|name| measured(audited, name)).collect(),
    }
}

/// What was found in words, and what is suspected where that is worse; `empty` where nothing was measured.
fn word([found, suspected]: [Option<Severity>; 2], empty: bool) -> Word {
    let none = if empty { "not measured" } else { "no threshold" };
    Word {
        found: found.map_or(none, Severity::name),
        suspected: Severity::worse(found, suspected).map_or("", Severity::name),
    }
}

/// The first indicator of this name.
fn measured<'a>(audited: &'a Audited, name: &str) -> Option<&'a Indicator> {
    let mut all = audited.audit.findings.iter().flat_map(|findings| &findings.indicators);
    all.find(|indicator| indicator.name == name)
}
