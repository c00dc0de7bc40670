//! The tests of this crate that need more than one module.

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
mod transparency;
// Where harms are planted, and where they are not.
mod worlds;
