//! Integration tests of the core: one binary, one module an area.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

// Where the real data is, and skipping loudly where it is not.
mod support;

// Every format over real files, with the counts that are known of them.
mod real_data;

// Recognising formats.
mod detecting;

// Steps, orders, cores, numbering.
mod preparing;

// The prepared folder: round trip, repetition, damage, interruption.
mod saved;

// Arbitrary and mutated bytes through every reader; the corpus.
mod malformed;
