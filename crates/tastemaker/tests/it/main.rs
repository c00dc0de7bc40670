//! The tests of this crate that need more than one module.

// Objectives learn; training resumes and repeats to the byte.
mod training;
