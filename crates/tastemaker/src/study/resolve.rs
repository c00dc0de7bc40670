//! From what was written to a complete study, with everything wrong reported at once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use tastemaker_core::prepare::PrepareOptions;
use tastemaker_core::splits::{AnySplit, LeaveLastOut};
use tastemaker_core::suggest;
use tastemaker_eval::Candidates;
use tastemaker_eval::metrics::{AnyMetric, InvalidRate};
use tastemaker_nn::backbones::AnyBackbone;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Texts};
use super::inherit::Inherited;
use super::search::EPOCHS;
use super::{About, Arm, Evaluate, Places, Problem, Search, Strategy, Study, hub, regime};
use crate::objectives::AnyObjective;
use crate::paradigms::AnyParadigm;
use crate::recommenders::{AnyRecommender, Auxiliary, Elsewhere, FewShot, ItemFeatures, ItemTexts};
use crate::tokenisations::Tokenisation;
use crate::train::Training;
use crate::{Error, Result};

/// Everything a study file can say at its top.
const SECTIONS: [&str; 13] = [
    "study",
    "dataset",
    "prepare",
    "split",
    "backbone",
    "features",
    "training",
    "pretraining",
    "few-shot",
    "few-shot-training",
    "arm",
    "evaluate",
    "search",
];

/// The keys of an arm that is a language model which learns from the study's data alone.
const LEARNS_LANGUAGE: [&str; 2] = ["language-model", "text-to-text"];

/// Reads the study file at `path` with `overrides`, each `a.b=c`, put into it.
pub fn read(path: &Path, overrides: &[String]) -> Result<Study> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| tastemaker_core::Error::read(path, source))?;
    parse(&path.display().to_string(), &text, overrides)
}

/// Resolves `text`, the content of `file`, with `overrides`, each `a.b=c`, put into it.
///
/// # Errors
/// [`Error::Study`] with every mistake that was found, or that the file has several regimes.
pub fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Study> {
    let mut studies = parse_all(file, text, overrides)?;
    match (studies.pop(), studies.is_empty()) {
        (Some(study), true) => Ok(study),
        _ => {
            let message = format!("{file} has several regimes, expected a study without any");
            Err(Error::Study(vec![Problem::new(message)]))
        }
    }
}

/// The same of a file that may have several regimes, each of which is a study.
pub fn parse_all(file: &str, text: &str, overrides: &[String]) -> Result<Vec<Study>> {
    let texts = Texts::new(file, text, overrides);
    let document = Document::parse(&texts);
    let (mut studies, mut problems) = (Vec::new(), Vec::new());
    for mut document in regime::documents(document) {
        let study = resolve(&mut document);
        problems.append(&mut document.problems);
        studies.extend(study);
    }
    if problems.is_empty() { Ok(studies) } else { Err(Error::Study(distinct(problems))) }
}

/// Each mistake once: what several arms inherit is read for each of them.
fn distinct(problems: Vec<Problem>) -> Vec<Problem> {
    let mut distinct: Vec<Problem> = Vec::new();
    for problem in problems {
        if !distinct.contains(&problem) {
            distinct.push(problem);
        }
    }
    distinct
}

fn resolve(document: &mut Document<'_>) -> Option<Study> {
    let hub = hub::local(document);
    unknown_keys(document);
    let about = section::<About>(document, "study")
        .or_else(|| missing(document, "study", "[study] with name and seeds"));
    if let Some(about) = &about {
        check_about(document, about);
    }
    let dataset = section(document, "dataset")
        .or_else(|| missing(document, "dataset", "for example [dataset.demo]"));
    let prepare = optional(document, "prepare", PrepareOptions::default);
    let split = optional(document, "split", || AnySplit::LeaveLastOut(LeaveLastOut::default()));
    let arm = arms(document);
    let mut evaluate = evaluate(document);
    if let (Some(arms), Some(evaluate)) = (&arm, &mut evaluate) {
        add_invalid_rate(evaluate, arms);
    }
    if let (Some(arms), Some(Evaluate { sampled: 0, candidates: None, .. })) = (&arm, &evaluate) {
        check_candidates(document, arms);
    }
    let search = search(document, arm.as_deref().unwrap_or_default());
    Some(Study {
        study: about?,
        dataset: dataset?,
        prepare: prepare?,
        split: split?,
        arm: arm?,
        evaluate: evaluate?,
        search: search?,
        hub,
        notes: std::mem::take(&mut document.notes),
    })
}

fn unknown_keys(document: &mut Document<'_>) {
    let unknown = document.table.keys().filter(|key| !SECTIONS.contains(&key.get_ref().as_ref()));
    let unknown: Vec<(String, Range<usize>)> =
        unknown.map(|key| (key.get_ref().to_string(), key.span())).collect();
    for (key, span) in unknown {
        let hint = suggest::hint(&key, SECTIONS);
        let known = SECTIONS.map(|section| format!("`{section}`")).join(", ");
        document.report(format!("unknown section `{key}`, expected one of {known}{hint}"), span);
    }
}

/// The section `name`, if it is there and right.
fn section<T: DeserializeOwned>(document: &mut Document<'_>, name: &str) -> Option<T> {
    let value = document.table.get(name)?.clone();
    document.read(value)
}

/// The section `name`, or what it is where it is absent; nothing if it is wrong.
fn optional<T: DeserializeOwned>(
    document: &mut Document<'_>,
    name: &str,
    absent: impl FnOnce() -> T,
) -> Option<T> {
    if document.table.contains_key(name) { section(document, name) } else { Some(absent()) }
}

fn missing<T>(document: &mut Document<'_>, name: &str, expected: &str) -> Option<T> {
    if !document.table.contains_key(name) {
        document
            .problems
            .push(Problem::new(format!("there is no section `{name}`, expected {expected}")));
    }
    None
}

/// Measures how much of what is named does not exist, where an arm names items as it likes.
fn add_invalid_rate(evaluate: &mut Evaluate, arms: &[Arm]) {
    let is = |metric: &AnyMetric| matches!(metric, AnyMetric::InvalidRate(_));
    if arms.iter().any(|arm| arm.recommender.writes_freely()) && !evaluate.metrics.iter().any(is) {
        evaluate.metrics.push(AnyMetric::InvalidRate(InvalidRate {}));
    }
}

/// Reports arms that cannot rank over the whole catalog.
fn check_candidates(document: &mut Document<'_>, arms: &[Arm]) {
    for arm in arms.iter().filter(|arm| arm.recommender.as_dyn().needs_candidates()) {
        let name = arm.recommender.name();
        let message = format!(
            "arm {:?}: {name} reads every candidate and cannot rank over the whole catalog; \
             set sampled under [evaluate], for example sampled = 19",
            arm.name
        );
        let place = arm.places.find(&format!("recommender.{name}")).cloned();
        document.problems.push(Problem { message, place });
    }
}

fn check_about(document: &mut Document<'_>, about: &About) {
    if !is_file_name(&about.name) {
        let message =
            format!("the study's name is {:?}, expected a name that a folder can have", about.name);
        document.report_at("study.name", message);
    }
    if let Some(regime) = about.regime.as_ref().filter(|regime| !is_file_name(regime)) {
        let message =
            format!("a regime is called {regime:?}, expected a name that a folder can have");
        document.report_at(&format!("regime.{regime}"), message);
    }
    let distinct: BTreeSet<u64> = about.seeds.iter().copied().collect();
    if about.seeds.is_empty() || distinct.len() < about.seeds.len() {
        let message = format!("seeds are {:?}, expected one or more, all different", about.seeds);
        document.report_at("study.seeds", message);
    }
}

fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '+' | '@');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 100 && name.chars().all(plain)
}

/// How settings are searched for, if they are; nothing if that is wrong.
#[expect(clippy::option_option, reason = "nothing to search for is not a mistake")]
fn search(document: &mut Document<'_>, arms: &[Arm]) -> Option<Option<Search>> {
    let spaces = arms.iter().any(|arm| !arm.space.is_empty());
    if !document.table.contains_key("search") {
        if spaces {
            let message = "arms have a space, but there is no section `search`, expected for example \
                           [search] with trials = 20";
            document.problems.push(Problem::new(message.to_owned()));
        }
        return Some(None);
    }
    let search: Search = section(document, "search")?;
    if let Some(problem) = search.problem() {
        document.report_at("search", problem.to_string());
        return None;
    }
    let halving = matches!(search.strategy, Strategy::Halving { .. });
    let epochs = |arm: &&Arm| arm.space.keys().any(|keys| EPOCHS.contains(&&keys[..]));
    if let Some(arm) = arms.iter().find(epochs).filter(|_| halving) {
        let message = format!(
            "arm {:?}: epochs are in its space, expected none: halving says how many a trial has",
            arm.name
        );
        document.problems.push(Problem { message, place: arm.places.find("space").cloned() });
    }
    if !spaces {
        let message = "search has no effect, since no arm has a space";
        document.report_at("search", message);
    }
    Some(Some(search))
}

/// The metrics one by one, so that each mistake is reported.
fn evaluate(document: &mut Document<'_>) -> Option<Evaluate> {
    let Some(value) = document.table.get("evaluate").cloned() else {
        return Some(Evaluate::default());
    };
    let before = document.problems.len();
    let metrics = value.get_ref().as_table().and_then(|table| table.get("metrics"));
    if let Some(DeValue::Array(metrics)) = metrics.map(Spanned::get_ref) {
        for metric in metrics.iter().cloned() {
            document.read::<AnyMetric>(metric);
        }
    }
    if document.problems.len() > before {
        return None;
    }
    let evaluate: Evaluate = document.read(value)?;
    if let Err(error) = evaluate.evaluator(Candidates::Full) {
        let key = match &*error.keys() {
            "noise" => "noise",
            "sampled" => "candidates",
            _ => "metrics",
        };
        document.report_at(&format!("evaluate.{key}"), error.to_string());
        return None;
    }
    Some(evaluate)
}

fn arms(document: &mut Document<'_>) -> Option<Vec<Arm>> {
    let expected = "[[arm]] with a name and a recommender";
    let arms = match document.table.get("arm") {
        None => return missing(document, "arm", expected),
        Some(value) => match value.get_ref() {
            DeValue::Array(arms) if !arms.is_empty() => arms.clone(),
            _ => {
                let span = value.span();
                document.report(format!("arm is no list of tables, expected {expected}"), span);
                return None;
            }
        },
    };
    let (mut inherited, before) = (Inherited::default(), document.problems.len());
    let resolve = |arm| resolve_arm(document, &mut inherited, arm);
    let resolved: Vec<Option<Vec<Arm>>> = arms.into_iter().map(resolve).collect();
    // Of an arm that cannot be read it is not known what it would take over.
    if document.problems.len() == before {
        inherited.check(document);
    }
    check_names(document, resolved.iter().flatten().flatten());
    Some(resolved.into_iter().collect::<Option<Vec<Vec<Arm>>>>()?.concat())
}

/// Reports names that two arms have or no folder can have.
fn check_names<'a>(document: &mut Document<'_>, arms: impl Iterator<Item = &'a Arm>) {
    let mut names = BTreeSet::new();
    for Arm { name, places, .. } in arms {
        let mut report = |message| {
            document.problems.push(Problem { message, place: places.find("name").cloned() });
        };
        if !names.insert(name) {
            report(format!("two arms are called {name:?}"));
        }
        if !is_file_name(name) || ["data", "pretrained", "search"].contains(&name.as_str()) {
            report(format!(
                "an arm's name is {name:?}, expected a name that a folder can have, not data, pretrained or search"
            ));
        }
    }
}

/// An arm and, if it asks for it, its un-pretrained twin.
fn resolve_arm<'t>(
    document: &mut Document<'t>,
    inherited: &mut Inherited,
    mut arm: Spanned<DeValue<'t>>,
) -> Option<Vec<Arm>> {
    let before = document.problems.len();
    let twin = wants_twin(document, &mut arm);
    let name = name_of(&arm);
    if let Some((kind, model)) = language_model(&mut arm) {
        inherited.inherit(document, (&name, kind), model);
        check_parts(document, model);
    }
    let whole = document.problems.len() == before;
    let places = Places::of(&arm, document.texts);
    let mut arm = Arm { places, ..document.read::<Arm>(arm)? };
    // What cannot be read was left out, so how the parts fit together is not known.
    let recommender = &arm.recommender;
    let problems =
        if whole { recommender.as_dyn().problems() } else { recommender.problems_of_parts() };
    document.problems.extend(problems.iter().map(|problem| arm.problem(problem)));
    let fits = problems.is_empty();
    if !whole {
        return None;
    }
    match arm.recommender.learner_mut() {
        AnyRecommender::LanguageModel(model) => model.resolve(),
        AnyRecommender::TextToText(model) => model.resolve(),
        _ => {}
    }
    // Of settings that do not fit as they are it is not known which others would.
    for (keys, problem) in if fits { arm.space_problems() } else { vec![] } {
        let message = format!("arm {:?}: space.{keys:?}: {problem}", arm.name);
        let place = arm.places.find("space").cloned();
        document.problems.push(Problem { message, place });
    }
    let Some(span) = twin else { return Some(vec![arm]) };
    match twin_of(&arm) {
        Ok(twin) => Some(vec![arm, twin]),
        Err(reason) => {
            let message = format!("arm {:?}: twin is true, expected {reason}", arm.name);
            document.report(message, span);
            None
        }
    }
}

/// Takes `twin` out of an arm as it was written; says where it is true.
fn wants_twin(document: &mut Document<'_>, arm: &mut Spanned<DeValue<'_>>) -> Option<Range<usize>> {
    let DeValue::Table(arm) = arm.get_mut() else { return None };
    let (key, twin) = arm.remove_entry("twin")?;
    match twin.get_ref() {
        DeValue::Boolean(twin) => twin.then(|| key.span()),
        _ => {
            document.report("twin is no boolean, expected true or false", twin.span());
            None
        }
    }
}

/// The same arm without pre-training, or why there is none.
fn twin_of(arm: &Arm) -> std::result::Result<Arm, String> {
    let without = || "pretraining that the twin can leave out".to_owned();
    let mut recommender = arm.recommender.clone();
    let AnyRecommender::LanguageModel(model) = recommender.learner_mut() else {
        return Err(without());
    };
    let pretraining = model.pretraining.as_mut().filter(|pretraining| !pretraining.skip);
    pretraining.ok_or_else(without)?.skip = true;
    if !model.adapts() {
        return Err(format!(
            "false: of paradigm {} nothing learns but in pre-training, so its twin never would",
            model.paradigm.name()
        ));
    }
    let mut space = arm.space.clone();
    space.retain(|keys, _| !keys.split('.').any(|key| key == "pretraining"));
    Ok(Arm { name: format!("{}-twin", arm.name), recommender, space, places: arm.places.clone() })
}

/// The name of an arm as it was written.
fn name_of(arm: &Spanned<DeValue<'_>>) -> String {
    let name = arm.get_ref().as_table().and_then(|arm| arm.get("name"));
    name.and_then(|name| name.get_ref().as_str()).unwrap_or_default().to_owned()
}

/// The name and the settings of an arm that is a language model which learns from the study's data alone,
/// or which is fitted once a shard.
fn language_model<'a, 't>(
    arm: &'a mut Spanned<DeValue<'t>>,
) -> Option<(&'static str, &'a mut DeTable<'t>)> {
    let DeValue::Table(arm) = arm.get_mut() else { return None };
    let mut recommender = table(arm, "recommender")?;
    if recommender.contains_key("sharded") {
        recommender = table(table(recommender, "sharded")?, "recommender")?;
    }
    let name = LEARNS_LANGUAGE.into_iter().find(|name| recommender.contains_key(*name))?;
    Some((name, table(recommender, name)?))
}

/// The table at `key`, if there is one.
fn table<'a, 't>(within: &'a mut DeTable<'t>, key: &str) -> Option<&'a mut DeTable<'t>> {
    match within.get_mut(key)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Reads the parts of a language model, or of its pre-training, one by one, so that each mistake
/// is reported; leaves out those that are wrong, so that others can be found in the whole, which is
/// read afterwards.
fn check_parts<'t>(document: &mut Document<'t>, model: &mut DeTable<'t>) {
    let mut wrong = Vec::new();
    for (key, value) in model.iter_mut() {
        let before = document.problems.len();
        match (key.get_ref().as_ref(), value.get_mut()) {
            ("pretraining", DeValue::Table(part)) => {
                check_parts(document, part);
                continue;
            }
            ("auxiliary", DeValue::Array(items)) => {
                for item in items.iter() {
                    drop(document.read::<Auxiliary>(item.clone()));
                }
            }
            ("backbone", _) => drop(document.read::<AnyBackbone>(value.clone())),
            ("objective", _) => drop(document.read::<AnyObjective>(value.clone())),
            ("paradigm", _) => drop(document.read::<AnyParadigm>(value.clone())),
            ("training", _) => drop(document.read::<Training>(value.clone())),
            ("elsewhere", _) => drop(document.read::<Elsewhere>(value.clone())),
            ("features", _) => drop(document.read::<ItemFeatures>(value.clone())),
            ("texts", _) => drop(document.read::<ItemTexts>(value.clone())),
            ("tokenisation", _) => drop(document.read::<Tokenisation>(value.clone())),
            ("few-shot", _) => drop(document.read::<FewShot>(value.clone())),
            _ => {}
        }
        if document.problems.len() > before {
            wrong.push(key.get_ref().to_string());
        }
    }
    for key in wrong {
        model.remove(key.as_str());
    }
}
