//! The tests of this crate that need more than one module.

// Fused operations against their composites, finite differences and other thread counts.
mod fused;
// Every parameter of every backbone gets its gradient and moves.
mod learning;
// Model files: whole, refused, or as they were.
mod checkpoints;
