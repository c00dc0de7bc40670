//! What all sources are read with: lines, tables, attribute columns, times.

pub(crate) mod atomic;
pub(crate) mod attributes;
pub(crate) mod csv_rows;
pub(crate) mod files;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod numbers;
mod parquet_columns;
pub(crate) mod parquet_rows;
pub(crate) mod raw;
pub(crate) mod roles;
pub(crate) mod table_file;
pub(crate) mod times;
