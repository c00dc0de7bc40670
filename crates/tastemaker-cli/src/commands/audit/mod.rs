//! `tastemaker audit`: what harm, to whom, how severe, how measured, how mitigated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tastemaker::audits::harms::{AnyHarm, Misinformation};
use tastemaker::audits::{
    Autonomy, Cell, Context, Indicator, Levels, Sector, Severity, Stakeholder,
};
use tastemaker::core::splits::Part;
use tastemaker::{AuditOptions, Audited, Later, report};

use self::subjects::{Elsewhere, Studies, Subjects};
use crate::{Global, output};

mod subjects;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run, a study file with recommenders, a file with the lists of another tool, or an
    /// audit that was written as JSON; several go into one report
    #[arg(required = true)]
    subject: Vec<PathBuf>,
    /// What it is used for, and with whom: a TOML file with purpose, audience, minors, autonomy, sector and,
    /// if it is to be a gate, fail-at
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// What is on record of it: a TOML file with a text for each field, such as owner and data-licence
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// From what value on a sign is how severe, where it is not as usual
    #[arg(long, value_name = "FILE")]
    levels: Option<PathBuf>,
    /// What words are planted in titles, where not the usual ones: a TOML file with [[attack]]s (name, text,
    /// source), targets (items) and users
    #[arg(long, value_name = "FILE")]
    attacks: Option<PathBuf>,
    /// What users are told of why things are recommended to them, in a table with the columns user, item,
    /// explanation and, if it is known, cited: the item that is said to be the reason
    #[arg(long, value_name = "FILE")]
    explanations: Option<PathBuf>,
    /// Look at this harm alone; can be given several times
    #[arg(long, value_name = "HARM")]
    harm: Vec<String>,
    /// Tell users apart by this attribute instead of those known to be sensitive; can be given several times
    #[arg(long, value_name = "NAME")]
    attribute: Vec<String>,
    /// Tell by this attribute of items who makes them
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Items of this year and later are recent; where absent, the newest fifth of those with a year
    #[arg(long, value_name = "YEAR")]
    recent: Option<f64>,
    /// A later state of what is audited, whose lists are held against its own: a file with lists, or the folder of a
    /// run with the same users and items; can be given several times, the earliest first
    #[arg(long, value_name = "LATER")]
    later: Vec<PathBuf>,
    /// Items of each list that are looked at
    #[arg(long, default_value_t = 10, value_name = "K")]
    k: usize,
    /// Ask for this many users alone, drawn at random
    #[arg(long, default_value_t = 0, value_name = "N")]
    users: usize,
    /// Bootstrap samples an interval
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resamples: usize,
    /// Let a language model learn anew after each round of the closed loop and, of recommender sharded, without users who are unlearnt, as controls do
    #[arg(long)]
    refit: bool,
    /// Try what lessens harms, at several strengths, and say what it costs; nothing is changed
    #[arg(long)]
    mitigate: bool,
    /// Exit with 1 where anything is this severe or worse, instead of what fail-at in --context says
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_at: Option<FailAt>,
    /// Write it here, as HTML, Markdown or JSON by the ending; can be given several times
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// Write what to ask people to this CSV file, to be filled in with a row a question and a respondent
    #[arg(long, value_name = "FILE")]
    questionnaire: Option<PathBuf>,
    /// Put what people answered into the report: a questionnaire that was filled in; can be given several
    /// times
    #[arg(long, value_name = "FILE")]
    answers: Vec<PathBuf>,
    #[command(flatten)]
    studies: Studies,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FailAt {
    Limited,
    High,
    Unacceptable,
}

impl From<FailAt> for Severity {
    fn from(at: FailAt) -> Self {
        match at {
            FailAt::Limited => Self::Limited,
            FailAt::High => Self::High,
            FailAt::Unacceptable => Self::Unacceptable,
        }
    }
}

/// Audits, writes the files, prints the table, and answers whether the gate is passed.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<ExitCode> {
    for path in &arguments.out {
        maker(path)?;
    }
    // Before anything takes long.
    for path in arguments.answers.iter().chain(&arguments.later) {
        fs_err::File::open(path)?;
    }
    let options = options(arguments)?;
    let fail_at = arguments.fail_at.map(Severity::from).or(options.context.fail_at);
    let lists_beside = arguments.later.iter().any(|path| path.is_file());
    let (studies, elsewhere) = (&arguments.studies, &arguments.elsewhere);
    let subjects = Subjects::read(&arguments.subject, studies, elsewhere, lists_beside)?;
    if arguments.mitigate && subjects.any_unasked() {
        tracing::warn!(
            "note: lists, and what was audited before, cannot be asked again, so that --mitigate is of the \
             others alone"
        );
    }
    let of_one = [
        ("--explanations", arguments.explanations.is_some()),
        ("--later", !arguments.later.is_empty()),
    ];
    if let Some((option, _)) = of_one.iter().find(|(_, given)| *given && subjects.n_audited() != 1)
    {
        anyhow::bail!(
            "{option} is of one recommender, and {} are audited; audit each with its own, write --out FILE.json, \
             and give these files to one audit",
            subjects.n_audited()
        );
    }
    let mut audited = subjects.audit(&options)?;
    report::read_answers(&mut audited, &arguments.answers)?;
    for path in &arguments.out {
        output::file("audit", path, &maker(path)?(&audited)?)?;
    }
    if let Some(path) = &arguments.questionnaire {
        output::file("questionnaire", path, &report::questionnaire(&audited)?)?;
    }
    let table = |all: &Vec<Audited>| all.iter().map(text).collect::<Vec<_>>().join("\n\n");
    output::write_all(global.format, &audited, table)?;
    let worst = audited.iter().filter_map(|audited| audited.audit.worst()).max();
    let failed = fail_at.is_some_and(|at| worst >= Some(at));
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn options(arguments: &Arguments) -> anyhow::Result<AuditOptions> {
    let context = match &arguments.context {
        Some(path) => Context::read(path)?,
        None => {
            tracing::warn!(
                "note: no --context says what it is used for; entertainment for grown-ups who choose is assumed"
            );
            Context {
                purpose: "not said".to_owned(),
                audience: "not said".to_owned(),
                minors: false,
                autonomy: Autonomy::Suggests,
                sector: Sector::Entertainment,
                fail_at: None,
            }
        }
    };
    let levels = match &arguments.levels {
        Some(path) => Levels::usual().with_file(path)?,
        None => Levels::usual(),
    };
    let record = match &arguments.record {
        Some(path) => tastemaker::record(path)?,
        None => BTreeMap::new(),
    };
    let mut harms = AnyHarm::all();
    for wanted in &arguments.harm {
        let known = || harms.iter().map(AnyHarm::name);
        if !known().any(|name| name == wanted) {
            return Err(tastemaker::core::Error::unknown("harm", wanted, known()).into());
        }
    }
    for harm in &mut harms {
        match harm {
            AnyHarm::Disparities(harm) => {
                harm.attributes.clone_from(&arguments.attribute);
                harm.provider.clone_from(&arguments.provider);
                harm.recent = arguments.recent;
            }
            AnyHarm::Privacy(harm) => harm.attributes.clone_from(&arguments.attribute),
            AnyHarm::Misinformation(harm) => {
                if let Some(path) = &arguments.attacks {
                    *harm = Misinformation::read(path)?;
                }
            }
            _ => {}
        }
    }
    harms.retain(|harm| {
        arguments.harm.is_empty() || arguments.harm.iter().any(|h| h == harm.name())
    });
    if !harms.iter().any(|harm| matches!(harm, AnyHarm::Disparities(_)))
        && (arguments.provider.is_some()
            || arguments.recent.is_some()
            || !arguments.later.is_empty())
    {
        anyhow::bail!(
            "--provider, --recent and --later are of disparities, which are not looked at"
        );
    }
    let Arguments { k, users, resamples, refit, mitigate, .. } = *arguments;
    let part = Part::Test;
    if resamples < 100 {
        let error = tastemaker::core::Error::setting("resamples", resamples, "100 or more");
        return Err(error.into());
    }
    Ok(AuditOptions {
        harms,
        attributes: arguments.attribute.clone(),
        explanations: arguments.explanations.clone(),
        later: Later { paths: arguments.later.clone(), columns: arguments.elsewhere.columns() },
        levels,
        context,
        part,
        k,
        users,
        resamples,
        record,
        refit,
        mitigate,
    })
}

/// What makes a file of an audit.
type Maker = fn(&[Audited]) -> tastemaker::Result<String>;

/// What makes a file with the ending of `path`.
fn maker(path: &Path) -> anyhow::Result<Maker> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => Ok(report::audit_html),
        Some("md") => Ok(report::audit_markdown),
        Some("json") => Ok(report::audit_json),
        _ => anyhow::bail!(
            "{}: the ending is none of .html, .md and .json, one of which says what to write",
            path.display()
        ),
    }
}

fn text(audited: &Audited) -> String {
    let audit = &audited.audit;
    let named = ["end users", "creators", "designers", "supply chain", "environment"];
    let headings: Vec<String> =
        std::iter::once(audit.subject.as_str()).chain(named).map(str::to_owned).collect();
    debug_assert_eq!(named.len(), Stakeholder::ALL.len());
    let cell = |cell: &Cell| {
        let none = if cell.indicators.is_empty() { "not measured" } else { "no threshold" };
        Severity::told(cell.severity, cell.suspected, none)
    };
    let rows = audit.findings.iter().map(|findings| {
        std::iter::once(findings.harm.clone()).chain(findings.cells.iter().map(cell)).collect()
    });
    let table = output::table(&headings, 6, rows.collect());
    let grave = audit.findings.iter().flat_map(|findings| &findings.indicators);
    let grave = grave.filter(|i| i.severity.max(i.suspected) > Some(Severity::Minimal));
    let grave: Vec<String> = grave.map(indicator).collect();
    let grave = if grave.is_empty() { String::new() } else { format!("\n{}\n", grave.join("\n")) };
    let told = audited.answers.iter().filter_map(|answered| {
        let told = answered.contradicts.as_ref()?;
        Some(format!("{} people on {}: {told}\n", answered.respondents, answered.id))
    });
    let told: String = told.collect();
    format!("{table}\n\n{}\n{grave}{told}\n{}", audit.protocol, audit.notice)
}

/// An indicator that is more than minimal, or suspected to be, in a line.
fn indicator(indicator: &Indicator) -> String {
    let of = if indicator.of.is_empty() { String::new() } else { format!(" ({})", indicator.of) };
    let interval = indicator
        .interval
        .map_or(String::new(), |[from, to]| format!(", 95 %: {from:.4} to {to:.4}"));
    let severity = Severity::told(indicator.severity, indicator.suspected, "");
    format!("{severity}: {}{of} {:.4}{interval}", indicator.name, indicator.value)
}
