//! Harms of recommenders: whom they touch, how severe they are, how they are measured and lessened.
//!
//! Read in this order: [`Stakeholder`], [`Severity`] and [`Context`] → [`Indicator`] (what is measured)
//! → [`Subject`] (of what) → [`harms`] (each with its signs) and [`probes`] (how signs are measured) →
//! [`Levels`] (from what value on a sign is how severe) → [`Auditor`] and its [`Audit`] →
//! [`mitigations`] (what lessens a harm, and at what cost).
//!
//! This crate audits anything that implements [`tastemaker_core::Recommender`], or lists that were made
//! elsewhere; it does not know how they were made. What it says is no legal advice.

mod auditor;
mod context;
pub mod harms;
mod indicator;
mod levels;
pub mod mitigations;
mod notes;
pub mod probes;
mod reading;
mod stakeholder;
mod subject;

pub use auditor::{Audit, Auditor, Cell, Findings, NOTICE};
pub use context::{Autonomy, Context, Sector};
pub use indicator::{Exposed, Horizon, Indicator, NotMeasured, Sign, Threshold};
pub use levels::{Level, Levels, Rule, When};
pub use notes::Notes;
pub use stakeholder::{Severity, Stakeholder};
pub use subject::{
    Counterfactual, Evidence, Explanation, Extraction, Membership, Remake, Scope, Subject,
    Unlearning,
};
