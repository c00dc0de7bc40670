//! Metrics, and the one pass over recommendations that takes them.
//!
//! This crate measures anything that implements [`tastemaker_core::Recommender`], or lists that
//! were made elsewhere; it does not know how they were made.

mod evaluator;
pub mod generation;
mod ground;
mod listed;
pub mod metrics;
pub mod predictions;
mod sampled;
pub mod significance;
pub mod similarity;
mod sums;

pub use evaluator::{Candidates, Evaluation, Evaluator, PerUser, Summary, Targets, Value};
pub use ground::{About, Embedded, Ground};
pub use listed::CandidateLists;
pub use sums::USERS_A_BLOCK;
