//! Rows of any Parquet file.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::parquet_columns;
use super::table_file::Cell;
use crate::error::{Error, Result};

/// The names of the columns.
pub(crate) fn columns(path: &Path) -> Result<Vec<String>> {
    guarded(path, || {
        let reader = open(path)?;
        let schema = reader.metadata().file_metadata().schema();
        Ok(schema.get_fields().iter().map(|field| field.name().to_owned()).collect())
    })
}

/// Calls `visit` with the cells of the columns `names` of each row.
pub(crate) fn for_each(
    path: &Path,
    names: &[&str],
    visit: &mut dyn FnMut(&[Cell<'_>]) -> std::result::Result<(), String>,
) -> Result<()> {
    guarded(path, || {
        let reader = open(path)?;
        if let Some(columns) = parquet_columns::plain(&reader, names) {
            return parquet_columns::for_each(path, &reader, &columns, visit);
        }
        let file = reader.metadata().file_metadata();
        let fields = file.schema().get_fields().iter();
        let fields = fields.filter(|field| names.contains(&field.name())).map(Arc::clone).collect();
        let damaged = |error: parquet::errors::ParquetError| not_parquet(path, &error.to_string());
        let projection = Type::group_type_builder(file.schema().name()).with_fields(fields).build();
        let rows = reader.get_row_iter(Some(projection.map_err(damaged)?)).map_err(damaged)?;
        for (number, row) in (1..).zip(rows) {
            let row = row.map_err(damaged)?;
            let cells: Vec<Cell<'_>> = names.iter().map(|name| cell(&row, name)).collect();
            visit(&cells)
                .map_err(|problem| Error::line(path, number, format!("(row) {problem}")))?;
        }
        Ok(())
    })
}

fn open(path: &Path) -> Result<SerializedFileReader<std::fs::File>> {
    let file = fs_err::File::open(path).map_err(|source| Error::read(path, source))?;
    SerializedFileReader::new(file.into_file())
        .map_err(|error| not_parquet(path, &error.to_string()))
}

pub(super) fn not_parquet(path: &Path, found: &str) -> Error {
    Error::file(path, format!("{found}; expected a whole Parquet file"))
}

/// Runs `read`; the Parquet library panics on some damaged files instead of returning an error.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(not_parquet(path, "the data inside is damaged")))
}

/// The value of the column `name`.
fn cell<'a>(row: &'a Row, name: &str) -> Cell<'a> {
    let field = row.get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field);
    match field {
        None | Some(Field::Null) => Cell::Missing,
        Some(Field::Str(text)) if text.trim().is_empty() => Cell::Missing,
        Some(Field::Str(text)) => Cell::Text(Cow::Borrowed(text.trim())),
        Some(Field::Date(days)) => Cell::Seconds(f64::from(*days) * 86_400.0),
        Some(Field::TimestampMillis(time)) => Cell::Seconds(*time as f64 / 1e3),
        Some(Field::TimestampMicros(time)) => Cell::Seconds(*time as f64 / 1e6),
        Some(Field::ListInternal(list)) => {
            let texts = list.elements().iter().filter_map(text);
            Cell::List(texts.filter(|text| !text.is_empty()).collect())
        }
        Some(other) => text(other).map_or(Cell::Missing, |text| Cell::Text(Cow::Owned(text))),
    }
}

/// A single value as text; `None` for nested ones.
fn text(field: &Field) -> Option<String> {
    Some(match field {
        Field::Str(text) => text.trim().to_owned(),
        Field::Bytes(bytes) => bytes.as_utf8().ok()?.trim().to_owned(),
        Field::Double(number) => number.to_string(),
        Field::Float(number) => number.to_string(),
        Field::Null | Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            return None;
        }
        other => other.to_string(),
    })
}
