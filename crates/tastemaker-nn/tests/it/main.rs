//! The tests of this crate that need more than one module.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]

// Learning on a CUDA device, against the CPU.
#[cfg(feature = "cuda")]
mod cuda;
// Tables whose rows are made of features.
mod features;
// Fused operations against their composites, finite differences and other thread counts.
mod fused;
// Going on from sequences token by token.
mod going_on;
// Every parameter of every backbone gets its gradient, moves, and can be frozen.
mod gradients;
// Small models learn by heart.
mod learning;
// Tables whose rows are made of vectors from elsewhere.
mod mixture;
// Blocks that read an encoder's states.
mod reading;
// Model files: whole, refused, or as they were.
mod adapters;
mod checkpoints;
// Where pre-trained models are.
mod models;
// Features whose order learns.
mod permutation;
// Causal language models over text.
mod causal;
mod causal_gradients;
// A T5 over text.
mod t5;
// Pre-trained models over text.
mod text;
