//! The tests of this crate that need more than one module.

// Study files: resolved, refused, written back.
mod studies;
// Objectives learn; training resumes and repeats to the byte.
mod training;
