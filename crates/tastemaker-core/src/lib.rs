//! The nouns of tastemaker and the ways in.
//!
//! Read in this order: [`ids`] → [`interactions`] → [`catalog`] and [`people`] → [`dataset`] →
//! [`sources`] (how a data set comes in) → [`prepare`] (cleaned, mapped and saved) →
//! [`splits`] (train, validation, test) → [`query`], [`ranked`] and [`recommender`]
//! (what everything that recommends answers) → [`lists`] (the same of other tools) and [`answers`]
//! (what else they foretold or wrote).
//!
//! This crate does not know the tensor library.

pub mod answers;
pub mod artifact;
pub mod catalog;
pub mod dataset;
pub mod describe;
mod detect;
mod error;
pub mod graph;
pub mod ids;
pub mod interactions;
pub mod lists;
pub mod people;
pub mod prepare;
pub mod query;
pub mod ranked;
mod reading;
pub mod recommender;
pub mod registry;
pub mod rng;
pub mod sources;
pub mod splits;
pub mod suggest;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use ids::{ItemId, UserId, Vocabulary};
pub use interactions::Interactions;
pub use query::RecQuery;
pub use ranked::{RankedList, TieOrder, TopN};
pub use reading::table_file::read_table;
pub use reading::times::civil_from_days;
pub use recommender::{RankOptions, Recommender};
pub use rng::SeedTree;
