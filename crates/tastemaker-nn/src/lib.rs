//! Backbones, fused operations, optimisers and checkpoints.
//!
//! This crate knows tokens and sequences of them; what a token stands for is the business of the
//! crates above.

pub mod adamw;
pub mod adapters;
pub mod backbones;
pub mod checkpoint;
pub mod composite;
mod device;
mod error;
pub mod fused;
pub mod gradients;
pub mod parameters;
pub mod text;
pub mod transformer;

pub use device::Device;
pub use error::{Error, Result};

/// The widest instructions that this machine's operations use.
pub fn instructions() -> String {
    format!("{:?}", pulp::Arch::new())
}
