//! Harms of recommenders: whom they touch, how severe they are, how they are measured and lessened.
//!
//! Read in this order: [`Stakeholder`], [`Severity`] and [`Context`] → [`Indicator`] (what is measured)
//! → [`Subject`] (of what) → [`harms`] (each with its signs) and [`probes`] (how signs are measured) →
//! [`Levels`] (from what value on a sign is how severe) → [`Auditor`] and its [`Audit`] →
//! [`mitigations`] (what lessens a harm, and at what cost).
//!
//! ```
//! use tastemaker_audit::{Auditor, Autonomy, Context, Levels, Scope, Sector, Subject};
//! use tastemaker_audit::harms::{AnyHarm, Disparities};
//! use tastemaker_core::prepare::PrepareOptions;
//! use tastemaker_core::sources::{self, AnySource, Synthetic};
//! use tastemaker_core::splits::{LeaveLastOut, Part, Split};
//! use tastemaker_core::{ItemId, RankedList, SeedTree};
//! use tastemaker_eval::Candidates;
//!
//! let seeds = SeedTree::new(1);
//! let source = AnySource::Synthetic(Synthetic::default());
//! let (data, _) = sources::load(&source, &PrepareOptions::default())?;
//! let split = LeaveLastOut::default().split(&data, &seeds)?;
//!
//! // Lists from anywhere: here, the same ten items for everybody.
//! let same = RankedList { items: (0..10).map(ItemId).collect(), ..RankedList::default() };
//! let lists = data.interactions.users().map(|user| (user, same.clone())).collect();
//! let scope = Scope { data: &data, split: &split, part: Part::Test, k: 10, candidates: Candidates::Full,
//!     allow_seen: false };
//! let subject = Subject::of_lists(scope, "the same for all", lists, &seeds)?;
//!
//! let auditor = Auditor {
//!     harms: vec![AnyHarm::Disparities(Disparities::default())],
//!     levels: Levels::usual(),
//!     context: Context {
//!         purpose: "things to read".to_owned(),
//!         audience: "everybody".to_owned(),
//!         minors: false,
//!         autonomy: Autonomy::Suggests,
//!         sector: Sector::Entertainment,
//!         fail_at: None,
//!     },
//!     resamples: 200,
//! };
//! let audit = auditor.audit(&subject, &seeds)?;
//! let hhi = audit.findings[0].indicators.iter().find(|found| found.name == "exposure-hhi");
//! assert!(hhi.is_some_and(|hhi| (hhi.value - 0.1).abs() < 1e-12));
//! # Ok::<(), tastemaker_core::Error>(())
//! ```
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

pub use auditor::{Audit, Auditor, Cell, Findings, NOTICE, blind};
pub use context::{Autonomy, Context, Sector};
pub use indicator::{Exposed, Horizon, Indicator, NotMeasured, Sign, Threshold};
pub use levels::{Level, Levels, Rule, When};
pub use notes::Notes;
pub use reading::record as read_record;
pub use stakeholder::{Severity, Stakeholder};
pub use subject::{
    Counterfactual, Evidence, Explanation, Extraction, Membership, Remake, Scope, Subject,
    Unlearning,
};
