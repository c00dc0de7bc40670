//! Runs harms over a subject.

use serde::{Deserialize, Serialize};
use tastemaker_core::{Result, SeedTree};

use crate::harms::AnyHarm;
use crate::notes::FEW;
use crate::{Context, Indicator, Levels, NotMeasured, Severity, Stakeholder, Subject};

/// What every audit says of itself.
pub const NOTICE: &str = "This audit is no legal advice. Its levels are named after those of the \
    regulation (EU) 2024/1689, and reached by the thresholds and rules that stand beside them; whether \
    a law is kept is not among what it can say.";

/// What an audit cannot see, whatever it finds.
pub fn blind() -> impl Iterator<Item = &'static str> {
    include_str!("../data/blind.md").lines().filter_map(|line| line.strip_prefix("* "))
}

/// Measures harms and says how severe they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Auditor {
    /// Which harms.
    pub harms: Vec<AnyHarm>,
    /// From what value on a sign is how severe.
    pub levels: Levels,
    /// What the subject is used for.
    pub context: Context,
    /// Bootstrap samples an interval.
    pub resamples: usize,
}

/// Harms × stakeholders, each cell with its indicators, its severity and what would lessen it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Audit {
    /// What was audited.
    pub subject: String,
    /// What this is not.
    pub notice: String,
    /// The data and its hash.
    pub data: [String; 2],
    /// The split and its hash.
    pub split: [String; 2],
    /// How lists were made, in a sentence.
    pub protocol: String,
    /// What the subject is used for.
    pub context: Context,
    /// A row a harm.
    pub findings: Vec<Findings>,
}

/// What was found of one harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Findings {
    /// The harm's name.
    pub harm: String,
    /// What it is.
    pub summary: String,
    /// What was measured.
    pub indicators: Vec<Indicator>,
    /// What could not be.
    pub not_measured: Vec<NotMeasured>,
    /// A cell a stakeholder, in the order of [`Stakeholder::ALL`].
    pub cells: Vec<Cell>,
}

/// What was found of one harm for one stakeholder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cell {
    /// The stakeholder.
    pub stakeholder: Stakeholder,
    /// Which of the harm's indicators touch it, by place.
    pub indicators: Vec<usize>,
    /// The worst of them; `None` where nothing with a threshold was measured, which is not minimal.
    pub severity: Option<Severity>,
    /// The worst by values alone.
    pub suspected: Option<Severity>,
    /// What would lessen it, where it is more than minimal.
    pub lessened_by: Vec<String>,
}

impl Auditor {
    /// Audits `subject`; everything that is drawn follows from `seeds`.
    pub fn audit(&self, subject: &Subject<'_>, seeds: &SeedTree) -> Result<Audit> {
        let mut findings = Vec::with_capacity(self.harms.len());
        for harm in &self.harms {
            findings.push(self.findings(harm, subject, &seeds.child(harm.name()))?);
        }
        let (data, split) = (subject.scope.data, subject.scope.split);
        let made = if subject.recommender.is_some() { "asked for" } else { "as they were given" };
        let protocol = protocol(subject, made);
        Ok(Audit {
            subject: subject.name.clone(),
            notice: NOTICE.to_owned(),
            data: [data.name.clone(), data.hash.clone()],
            split: [split.name().to_owned(), split.hash().to_owned()],
            protocol,
            context: self.context.clone(),
            findings,
        })
    }

    fn findings(
        &self,
        harm: &AnyHarm,
        subject: &Subject<'_>,
        seeds: &SeedTree,
    ) -> Result<Findings> {
        let name = harm.name();
        let mut notes = harm.as_dyn().notes(self.resamples, seeds);
        harm.as_dyn().probe(subject, &mut notes, seeds)?;
        let (mut indicators, not_measured) = notes.finish();
        for indicator in &mut indicators {
            self.levels.judge(name, indicator, &self.context);
        }
        let cell = |stakeholder| cell(stakeholder, harm, &indicators);
        let cells = Stakeholder::ALL.map(cell).into();
        let summary = AnyHarm::ENTRIES.iter().find(|entry| entry.name == name);
        let summary = summary.map(|entry| entry.summary.to_owned()).unwrap_or_default();
        Ok(Findings { harm: name.to_owned(), summary, indicators, not_measured, cells })
    }
}

/// How lists were made, and what is to be known of them.
fn protocol(subject: &Subject<'_>, made: &str) -> String {
    let (k, n) = (subject.scope.k, subject.cases.len());
    let part = subject.scope.part.name();
    let short = subject.lists.iter().filter(|list| list.items.len() < k).count();
    let short = match short {
        0 => String::new(),
        short => format!("; {short} lists have fewer than {k} items"),
    };
    let few = if n < FEW {
        "; of so few users intervals are wide, and what is severe may not be told"
    } else {
        ""
    };
    format!("the first {k} of lists {made}, for {n} users of the {part} part{short}{few}")
}

fn cell(stakeholder: Stakeholder, harm: &AnyHarm, indicators: &[Indicator]) -> Cell {
    let touches = |at: &usize| indicators[*at].touches.contains(&stakeholder);
    let own: Vec<usize> = (0..indicators.len()).filter(touches).collect();
    let worst = |of: fn(&Indicator) -> Option<Severity>| {
        own.iter().filter_map(|&at| of(&indicators[at])).max()
    };
    let (severity, suspected) = (worst(|i| i.severity), worst(|i| i.suspected));
    let lessened_by = match severity.max(suspected) {
        None | Some(Severity::Minimal) => vec![],
        Some(_) => harm.as_dyn().lessened_by().iter().map(|&words| words.to_owned()).collect(),
    };
    Cell { stakeholder, indicators: own, severity, suspected, lessened_by }
}

impl Findings {
    /// The worst of its cells, and the worst that is suspected.
    pub fn worst(&self) -> [Option<Severity>; 2] {
        let worst = |of: fn(&Cell) -> Option<Severity>| self.cells.iter().filter_map(of).max();
        [worst(|cell| cell.severity), worst(|cell| cell.suspected)]
    }
}

impl Audit {
    /// The worst that was found; `None` where nothing with a threshold was measured.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter_map(|findings| findings.worst()[0]).max()
    }
}
