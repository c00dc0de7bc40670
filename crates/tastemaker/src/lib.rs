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
