//! Backbones, fused operations, optimisers and checkpoints.
//!
//! This crate knows tokens and sequences of them; what a token stands for is the business of the
//! crates above.

pub mod backbones;
mod error;

pub use error::{Error, Result};
