//! The tests of this crate that need more than one module.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "worlds are small, and made so that some values are exact"
)]

// What the auditor makes of harms, levels and contexts.
mod auditor;
mod disparities;
mod echo_chambers;
// Formulas against what others say.
mod golden;
mod governance;
mod misinformation;
mod mitigations;
mod privacy;
// Tables that are whole.
mod tables;
mod transparency;
// Where harms are planted, and where they are not.
mod worlds;
