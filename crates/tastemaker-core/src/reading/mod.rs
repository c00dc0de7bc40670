//! What all sources are read with: lines, tables, attribute columns, times.

pub(crate) mod atomic;
pub(crate) mod attributes;
pub(crate) mod files;
pub(crate) mod lines;
pub(crate) mod numbers;
pub(crate) mod raw;
pub(crate) mod times;
