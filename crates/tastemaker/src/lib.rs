//! Trains, compares, audits and serves recommenders built on language models.
//!
//! The main path: a [`study::Study`] names a source, a split, arms and metrics; [`train`](fn@train) reads
//! and divides the data, fits every arm with every seed and evaluates it once;
//! [`recommend`] answers with what was trained. Everything below this crate is here too, as
//! [`core`], [`eval`] and [`nn`].

mod error;
pub mod objectives;
pub mod paradigms;
pub mod recommenders;
pub mod study;
pub mod text;
pub mod train;
mod verbs;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{Error, Result};
pub use tastemaker_core as core;
pub use tastemaker_eval as eval;
pub use tastemaker_nn as nn;
pub use verbs::{
    ArmReport, Cell, Costs, Listed, Matched, Recommendation, Report, StudyObserver, TitleIndex,
    Whose, check, evaluate, recommend, train,
};

/// Every table, by the name of its kind.
pub fn tables() -> Vec<(&'static str, &'static [core::registry::Entry])> {
    vec![
        ("adapters", nn::adapters::AnyAdapter::ENTRIES),
        ("backbones", nn::backbones::AnyBackbone::ENTRIES),
        ("metrics", eval::metrics::AnyMetric::ENTRIES),
        ("objectives", objectives::AnyObjective::ENTRIES),
        ("paradigms", paradigms::AnyParadigm::ENTRIES),
        ("recommenders", recommenders::AnyRecommender::ENTRIES),
        ("sources", core::sources::AnySource::ENTRIES),
        ("splits", core::splits::AnySplit::ENTRIES),
    ]
}

/// The settings of the entry `name` of the table of `kind`, as they are where nothing is said; `None`
/// where something must be said.
pub fn usual_settings(kind: &str, name: &str) -> Option<serde_json::Value> {
    fn of<T: Serialize + DeserializeOwned>(name: &str) -> Option<serde_json::Value> {
        let entry: T = serde_json::from_value(serde_json::json!({ name: {} })).ok()?;
        serde_json::to_value(&entry).ok()?.get(name).cloned()
    }
    match kind {
        "adapters" => of::<nn::adapters::AnyAdapter>(name),
        "backbones" => of::<nn::backbones::AnyBackbone>(name),
        "metrics" => of::<eval::metrics::AnyMetric>(name),
        "objectives" => of::<objectives::AnyObjective>(name),
        "paradigms" => of::<paradigms::AnyParadigm>(name),
        "recommenders" => of::<recommenders::AnyRecommender>(name),
        "sources" => of::<core::sources::AnySource>(name),
        "splits" => of::<core::splits::AnySplit>(name),
        _ => None,
    }
}
