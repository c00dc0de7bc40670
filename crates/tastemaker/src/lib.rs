//! Trains, compares, audits and serves recommenders built on language models.

mod error;
pub mod objectives;
pub mod recommenders;
pub mod train;

pub use error::{Error, Result};
pub use tastemaker_core as core;
pub use tastemaker_eval as eval;
pub use tastemaker_nn as nn;
