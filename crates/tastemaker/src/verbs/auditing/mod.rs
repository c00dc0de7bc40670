//! Audit a run, a recommender that needs no learning, or lists of other tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tastemaker_audit::harms::AnyHarm;
use tastemaker_audit::mitigations::Point;
use tastemaker_audit::{Audit, Auditor, Context, Evidence, Levels, Subject, read_record};
use tastemaker_core::lists::Columns;
use tastemaker_core::splits::Part;
use tastemaker_core::{Dataset, SeedTree};

pub use self::later::Later;
use super::Ended;
use crate::Result;
use crate::report::{Answered, Card, cards, open_fields};
use crate::study::{RunFolder, Study};

mod evidence;
mod facts;
mod later;
mod lists;
mod mitigating;
mod untrained;
mod written;

/// What is audited.
#[derive(Clone, Copy, Debug)]
pub enum AuditOf<'a> {
    /// The recommender of the run in a folder.
    Run(&'a Path),
    /// That of a study of one arm and one seed: of its run below the folder, where that has ended, or as it
    /// is, where it learns nothing or in seconds.
    Arm(&'a Study, &'a Path),
    /// The lists in a file.
    Lists {
        /// The file.
        path: &'a Path,
        /// What its columns are called.
        columns: &'a Columns,
        /// Of what they are.
        of: ListsOf<'a>,
    },
}

/// What says of what data lists are, and how it is divided.
#[derive(Clone, Copy, Debug)]
pub enum ListsOf<'a> {
    /// The run in a folder.
    Run(&'a Path),
    /// A study.
    Study(&'a Study),
}

/// What an audit looks at, and how.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Which harms.
    pub harms: Vec<AnyHarm>,
    /// Attributes of users whose values are told to language models over text, one after the other; the
    /// sensitive ones where none is named.
    pub attributes: Vec<String>,
    /// From what value on a sign is how severe.
    pub levels: Levels,
    /// What the recommender is used for.
    pub context: Context,
    /// Whose targets are looked at.
    pub part: Part,
    /// The first k of each list are looked at.
    pub k: usize,
    /// Users that are asked about, drawn at random; 0 for all.
    pub users: usize,
    /// Bootstrap samples an interval.
    pub resamples: usize,
    /// A file with explanations of what is recommended, which take the place of the model's own.
    pub explanations: Option<PathBuf>,
    /// Later states of the same recommender, which are asked the same.
    pub later: Later,
    /// What is on record of it, beside what the run itself says.
    pub record: BTreeMap<String, String>,
    /// Whether a language model learns anew after each round of the closed loop, and without users who are
    /// unlearnt; controls always do.
    pub refit: bool,
    /// Whether what lessens harms is tried.
    pub mitigate: bool,
}

impl AuditOptions {
    /// An attribute that users are to be told apart by and that they do not have.
    fn unknown_attribute(&self, data: &Dataset) -> Option<tastemaker_core::Error> {
        let all = data.people.attributes().iter();
        let known: Vec<&str> = all.map(|known| &known.attribute.name[..]).collect();
        let unknown = self.attributes.iter().find(|name| !known.contains(&&name[..]))?;
        Some(tastemaker_core::Error::unknown("attribute of users", unknown, known))
    }

    /// Whether one of these harms is looked at.
    fn looks_at(&self, harms: &[&str]) -> bool {
        self.harms.iter().any(|harm| harms.contains(&harm.name()))
    }
}

/// An audit, what was tried against harms, and what it was of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audited {
    /// What was audited.
    pub audit: Audit,
    /// What is on record of it.
    pub record: BTreeMap<String, String>,
    /// What mitigations bring and cost; empty where they were not tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trade_offs: Vec<Tried>,
    /// What people answered to the questions that follow from it; empty where nobody was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answered>,
    /// Documents that go with it, as far as they are filled in.
    pub cards: Vec<Card>,
}

/// What mitigations bring against a sign of a harm, and cost in accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tried {
    /// The harm.
    pub harm: String,
    /// Its sign.
    pub sign: String,
    /// The recommender as it is, and with each mitigation at each strength, for the users of `part`.
    pub points: Vec<Point>,
    /// Whose targets these points were measured on: those of the validation, which choose.
    pub part: String,
    /// The recommender as it is, and what no other point beats in both, for the users who are audited.
    pub chosen: Vec<Point>,
}

/// Reads what is on record of a recommender: a TOML file with a text for each field that is filled in, of
/// the provenance record and of the cards.
pub fn record(path: &Path) -> Result<BTreeMap<String, String>> {
    Ok(read_record(path, open_fields().into_iter().map(|(name, _)| name))?)
}

/// Audits a recommender, or lists.
pub fn audit(of: AuditOf<'_>, options: &AuditOptions) -> Result<Audited> {
    match of {
        AuditOf::Run(folder) => audit_run(&Ended::read(&RunFolder::open(folder)?)?, options),
        AuditOf::Arm(study, out) => audit_run(&untrained::ended(study, out)?, options),
        AuditOf::Lists { path, columns, of } => lists::audit(path, columns, of, options),
    }
}

fn audit_run(ended: &Ended, options: &AuditOptions) -> Result<Audited> {
    let Ended { run, recommender, others } = ended;
    options.unknown_attribute(&run.data.dataset).map_or(Ok(()), Err)?;
    let seeds = SeedTree::new(run.seed);
    let scope = run.scope(options)?;
    let subject = Subject::of_users(scope, &**recommender, options.users, &seeds)?;
    let snapshots = later::given(options, &subject, &seeds)?;
    let record = facts::record(run)?;
    let remake = |data: &Dataset| run.remade(data, others).map_err(failed);
    let refit = |data: &Dataset| run.refitted(data, others).map_err(failed);
    let learns = options.refit || run.is_control();
    let mut evidence = Evidence {
        retitle: run.reads_titles_as_they_are().then_some(&remake),
        refit: learns.then_some(&refit),
        learns_anew: run.learns_anew(),
        explanations: written::given(options, &run.data.dataset)?,
        provenance: record.into_iter().chain(options.record.clone()).collect(),
        seconds: run.seconds()?,
        snapshots,
        ..Evidence::default()
    };
    // What takes long is asked for where it is looked at.
    let (people, users) = (&options.attributes, options.users);
    if options.looks_at(&["disparities"]) {
        evidence.counterfactual = run.counterfactual(&subject, others, people)?;
    }
    if options.looks_at(&["privacy"]) {
        evidence.membership = run.membership(&**recommender, &subject, users)?;
        evidence.extractions = run.extractions(others, users)?;
        if learns {
            evidence.unlearning = run.unlearning(&**recommender, &subject, others)?;
        }
    }
    if options.looks_at(&["transparency"]) {
        evidence.runs = run.other_seeds(&subject)?;
    }
    if options.explanations.is_none() && options.looks_at(&["misinformation", "transparency"]) {
        evidence.explanations = run.explanations(&subject, others)?;
    }
    let subject = subject.with(evidence)?;
    let seeds = seeds.child("audit");
    let mut audit = auditor(options).audit(&subject, &seeds)?;
    audit.subject = format!("{}, {}, seed {}", run.study.study.title(), run.arm().name, run.seed);
    let trade_offs =
        if options.mitigate { mitigating::tried(&subject, options, &seeds)? } else { Vec::new() };
    let record = subject.evidence.provenance;
    let cards = cards(&facts::of_run(run, &audit, &record)?, &record);
    Ok(Audited { audit, record, trade_offs, answers: vec![], cards })
}

fn auditor(options: &AuditOptions) -> Auditor {
    Auditor {
        harms: options.harms.clone(),
        levels: options.levels.clone(),
        context: options.context.clone(),
        resamples: options.resamples,
    }
}

/// What a recommender could not do, as the audit hands it on.
fn failed(error: crate::Error) -> tastemaker_core::Error {
    match error {
        crate::Error::Core(error) => error,
        error => {
            tastemaker_core::Error::Recommender { recommender: "audited", source: error.into() }
        }
    }
}
