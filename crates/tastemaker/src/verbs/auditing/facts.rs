//! What runs and data say of themselves, for the record and for cards.

use std::collections::BTreeMap;

use tastemaker_audit::{Audit, Severity};
use tastemaker_core::artifact;
use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::SplitSets;
use tastemaker_eval::Summary;

use super::super::Run;
use crate::Result;
use crate::hygiene::{Subject, inspect};
use crate::recommenders::{MODEL_FILE, shard_folder};
use crate::study::{RunFolder, RunResult};
use crate::train::StageCost;

/// What data and its split say for the record.
pub(super) fn record_of_data(data: &Prepared, split: &SplitSets) -> BTreeMap<String, String> {
    let manifest = &data.manifest;
    let source = format!("{}: {}", manifest.name, manifest.format);
    let (hash, split_hash) = (data.dataset.hash.clone(), split.hash().to_owned());
    [("data-source", source), ("data-hash", hash), ("split-hash", split_hash)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// What the run itself says for the record.
pub(super) fn record(run: &Run) -> Result<BTreeMap<String, String>> {
    let mut record = record_of_data(&run.data, &run.split);
    let version = format!("tastemaker {}", env!("CARGO_PKG_VERSION"));
    record.extend([("seeds".to_owned(), run.seed.to_string()), ("version".to_owned(), version)]);
    if run.is_control() {
        let none = "none: it has no weights, and is made again from the data and its settings";
        record.insert("model-hash".to_owned(), none.to_owned());
        return Ok(record);
    }
    let Some(folder) = run.left().map(RunFolder::path) else { return Ok(record) };
    let shards = (1..).map(|number| shard_folder(folder, number).join(MODEL_FILE));
    let models = std::iter::once(folder.join(MODEL_FILE));
    let models = models.chain(shards.take_while(|model| model.exists()));
    let hashes = models.filter(|model| model.exists()).map(|model| artifact::sha256_file(&model));
    let hash = match &hashes.collect::<tastemaker_core::Result<Vec<String>>>()?[..] {
        [] => return Ok(record),
        [one] => one.clone(),
        shards => artifact::sha256(shards.join("\n").as_bytes()),
    };
    record.insert("model-hash".to_owned(), hash);
    Ok(record)
}

/// What fills in the fields of cards, by name.
type Facts = BTreeMap<&'static str, String>;

/// What is known of a run that was audited.
pub(super) fn of_run(run: &Run, audit: &Audit, record: &BTreeMap<String, String>) -> Result<Facts> {
    let mut facts = of_data(&run.data, &run.split, audit, record);
    let costs = run.left().map_or(Ok(vec![]), RunFolder::costs)?;
    facts.extend([
        ("energy", energy(&costs)),
        ("privacy", privacy(&costs)),
        (
            "controls",
            "data, split, candidates, ties and metrics are those of the study for every arm"
                .to_owned(),
        ),
        ("model", format!("{}\n{}", run.arm().recommender.name(), settings(run))),
    ]);
    if let Some(folder) = run.left()
        && let Some(result) = folder.result()?
    {
        facts.insert("test", summary(&result.test));
        facts.insert("hygiene", hygiene(run, (result, folder.clone())));
    }
    Ok(facts)
}

/// What is known of whatever was audited, from its data and the audit.
pub(super) fn of_data(
    data: &Prepared,
    split: &SplitSets,
    audit: &Audit,
    record: &BTreeMap<String, String>,
) -> Facts {
    let mut facts = BTreeMap::from([
        ("data", counts(data)),
        ("preparation", preparation(data)),
        ("split", parts(data, split)),
        ("sensitive-attributes", sensitive(data)),
        ("by-group", by_group(audit)),
        ("severities", severities(audit)),
        ("not-measured", not_measured(audit)),
        ("purpose", audit.context.purpose.clone()),
        ("audience", audit.context.audience.clone()),
        ("minors", if audit.context.minors { "yes" } else { "no" }.to_owned()),
        ("sector", written(&audit.context.sector)),
        ("autonomy", written(&audit.context.autonomy)),
        (
            "stakeholders",
            "end users, content creators, system designers, supply chain, environment".to_owned(),
        ),
        ("properties", audit.findings.iter().map(|f| &f.harm[..]).collect::<Vec<_>>().join(", ")),
        ("experiment", "offline, on what was recorded".to_owned()),
    ]);
    for name in ["data-source", "data-hash", "version", "model-hash", "seeds"] {
        facts.extend(record.get(name).map(|text| (name, text.clone())));
    }
    facts
}

/// A word of a study or a context file as it is written there.
fn written(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn settings(run: &Run) -> String {
    toml::to_string(&run.arm().recommender).unwrap_or_default()
}

fn counts(data: &Prepared) -> String {
    let counts = data.manifest.counts;
    format!(
        "{}: {} users, {} items, {} interactions",
        data.manifest.name, counts.users, counts.items, counts.interactions
    )
}

fn preparation(data: &Prepared) -> String {
    let steps = data.manifest.steps.iter();
    let steps = steps.map(|step| {
        let left = step.left;
        format!(
            "{} ({} users, {} items, {} interactions left)",
            step.what, left.users, left.items, left.interactions
        )
    });
    steps.collect::<Vec<String>>().join("; ")
}

fn parts(data: &Prepared, split: &SplitSets) -> String {
    let summary = split.summary(&data.dataset);
    format!(
        "{}: {} interactions of {} users are learnt from, {} users validate, {} test",
        summary.split,
        summary.train_interactions,
        summary.train_users,
        summary.validation.users,
        summary.test.users
    )
}

fn sensitive(data: &Prepared) -> String {
    let all = data.dataset.people.attributes().iter();
    let names: Vec<&str> = all
        .filter(|attribute| attribute.sensitive)
        .map(|attribute| &attribute.attribute.name[..])
        .collect();
    if names.is_empty() { "none are known".to_owned() } else { names.join(", ") }
}

/// The gaps between groups that were measured.
fn by_group(audit: &Audit) -> String {
    let all = audit.findings.iter().flat_map(|findings| &findings.indicators);
    let gaps = all.filter(|found| found.name == "ndcg-gap").map(|found| {
        let interval =
            found.interval.map_or(String::new(), |[from, to]| format!(" ({from:.4} to {to:.4})"));
        format!(
            "NDCG of the best-served less that of the worst-served by {}: {:.4}{interval}, of the {} users who \
             are audited",
            found.of, found.value, found.n
        )
    });
    gaps.collect::<Vec<String>>().join("; ")
}

fn severities(audit: &Audit) -> String {
    let worst = |findings: &tastemaker_audit::Findings| {
        let [found, suspected] = findings.worst();
        format!("{}: {}", findings.harm, Severity::told(found, suspected, "not measured"))
    };
    audit.findings.iter().map(worst).collect::<Vec<String>>().join(", ")
}

fn not_measured(audit: &Audit) -> String {
    let all = audit.findings.iter().flat_map(|findings| &findings.not_measured);
    all.map(|not| format!("{}: {}", not.name, not.reason)).collect::<Vec<String>>().join("; ")
}

fn energy(costs: &[StageCost]) -> String {
    if costs.is_empty() {
        return String::new();
    }
    let seconds: f64 = costs.iter().map(|stage| stage.cost.cpu_seconds).sum();
    format!(
        "{seconds:.0} processor seconds of learning; energy-kwh among the indicators is reckoned"
    )
}

fn privacy(costs: &[StageCost]) -> String {
    let bounded = costs
        .iter()
        .filter_map(|stage| stage.spent.map(|spent| format!("in stage {}, {spent}", stage.stage)));
    let bounded: Vec<String> = bounded.collect();
    if bounded.is_empty() {
        return "nothing: it has not learnt with differential privacy".to_owned();
    }
    bounded.join("; ")
}

fn summary(summary: &Summary) -> String {
    let metrics = summary.metrics.iter().map(|value| {
        let error = value.standard_error.map(|error| format!(" ± {:.4}", 1.96 * error));
        format!("{} {:.4}{}", value.metric, value.mean, error.unwrap_or_default())
    });
    format!(
        "{} (95 %, over all users of the study); {}",
        metrics.collect::<Vec<String>>().join(", "),
        summary.protocol
    )
}

fn hygiene(run: &Run, result: (RunResult, RunFolder)) -> String {
    let (study, data, split) = (&run.study, &run.data, &run.split);
    let findings = inspect(&Subject { study, data, split, results: &[result] });
    let told = findings
        .iter()
        .map(|found| format!("{} ({}): {}", found.check, found.verdict.name(), found.message));
    told.collect::<Vec<String>>().join("; ")
}
