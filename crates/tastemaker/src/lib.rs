//! Trains, compares, audits and serves recommenders built on language models.
//!
//! The main path: a [`study::Study`] names a source, a split, arms and metrics; [`train`](fn@train) reads
//! and divides the data, fits every arm with every seed and evaluates it once;
//! [`recommend`] answers with what was trained. Everything below this crate is here too, as
//! [`core`], [`eval`] and [`nn`].

mod cleaning;
mod error;
pub mod hygiene;
pub mod memorisation;
pub mod objectives;
pub mod paradigms;
pub mod prompts;
pub mod recommenders;
pub mod report;
pub mod search;
pub mod study;
mod tensorboard;
pub mod text;
pub mod tokenisations;
pub mod train;
mod trie;
pub mod verbalizers;
mod verbs;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tastemaker_core::registry::{Entry, usual};

pub use cleaning::clean_title;
pub use error::{Error, Result};
pub use tastemaker_audit as audits;
pub use tastemaker_core as core;
pub use tastemaker_endpoint as endpoint;
pub use tastemaker_eval as eval;
pub use tastemaker_nn as nn;
pub use verbs::{
    AuditOf, AuditOptions, Audited, Later, Leaving, Listed, ListsOf, Matched, Measure, Measured,
    Plan, PlannedArm, PlannedStage, PromptOf, Recommendation, Relevance, StudyObserver, TitleIndex,
    Tried, Unlearnt, Whose, audit, check, evaluate, evaluate_clicks, evaluate_lists,
    evaluate_ratings, evaluate_texts, export_lists, export_mlflow, export_qrels,
    export_tensorboard, plan, probe, prompt, recommend, record, report, train, unlearn,
};

/// Whether a setting says what it says where it is left out: then it is left out of files, so that studies
/// and runs from before it was there stay the same.
fn is_default<T: Default + PartialEq>(setting: &T) -> bool {
    *setting == T::default()
}

/// A kind, its entries, and the settings of one of them where nothing is said.
type Table = (&'static str, &'static [Entry], fn(&str) -> Option<Value>);

fn all_tables() -> [Table; 11] {
    fn settings<T: Serialize + DeserializeOwned>(name: &str) -> Option<Value> {
        serde_json::to_value(usual::<T>(name)?).ok()?.get(name).cloned()
    }
    macro_rules! table {
        ($kind:literal, $any:ty) => {
            ($kind, <$any>::ENTRIES, settings::<$any>)
        };
    }
    [
        table!("adapters", nn::adapters::AnyAdapter),
        table!("backbones", nn::backbones::AnyBackbone),
        table!("harms", audits::harms::AnyHarm),
        table!("metrics", eval::metrics::AnyMetric),
        table!("mitigations", audits::mitigations::AnyMitigation),
        table!("objectives", objectives::AnyObjective),
        table!("paradigms", paradigms::AnyParadigm),
        table!("recommenders", recommenders::AnyRecommender),
        table!("sources", core::sources::AnySource),
        table!("splits", core::splits::AnySplit),
        table!("verbalizers", verbalizers::AnyVerbalizer),
    ]
}

/// Every table, by the name of its kind.
pub fn tables() -> Vec<(&'static str, &'static [Entry])> {
    all_tables().map(|(kind, entries, _)| (kind, entries)).into()
}

/// The settings of the entry `name` of the table of `kind`, as they are where nothing is said; `None`
/// where something must be said.
pub fn usual_settings(kind: &str, name: &str) -> Option<Value> {
    all_tables().into_iter().find(|(known, ..)| *known == kind)?.2(name)
}
