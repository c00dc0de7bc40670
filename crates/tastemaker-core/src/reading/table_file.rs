//! Tables in any of the usual formats, row by row.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::csv_rows::{CsvRows, Dialect, require};
use super::files;
use super::json::{Json, describe};
use super::lines::{Encoding, Lines, quoted};
use super::numbers::finite;
use super::parquet_rows;
use crate::error::{Error, Result};

/// A value of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Nothing, or an empty text.
    Missing,
    /// A text, or a number as it was written.
    Text(Cow<'a, str>),
    /// A time in seconds since 1970, where the format has a type for times.
    Seconds(f64),
    /// A number of a format with a type for such numbers.
    Single(f32),
    /// Likewise, in double precision.
    Double(f64),
    /// A list of texts.
    List(Vec<String>),
}

impl Cell<'_> {
    /// The value as one text.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Seconds(number) | Self::Double(number) => Some(Cow::Owned(number.to_string())),
            Self::Single(number) => Some(Cow::Owned(number.to_string())),
            Self::List(texts) => Some(Cow::Owned(texts.join(" "))),
        }
    }

    /// The text of a cell that may not be empty.
    ///
    /// # Errors
    /// What was found and what was expected, for the caller to say where.
    pub(crate) fn required(
        &self,
        column: &str,
        expected: &str,
    ) -> std::result::Result<Cow<'_, str>, String> {
        self.text().ok_or_else(|| format!("{column} is empty, expected {expected}"))
    }

    /// The finite number in a cell that may not be empty.
    ///
    /// # Errors
    /// As [`Cell::required`].
    pub(crate) fn number(&self, column: &str) -> std::result::Result<f64, String> {
        match self {
            Self::Double(number) if number.is_finite() => Ok(*number),
            Self::Single(number) if number.is_finite() => Ok(f64::from(*number)),
            cell => finite(column, &cell.required(column, "a number")?),
        }
    }
}

/// How a table file is written, where it cannot be told or is told wrongly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// What stands between two fields of a text file.
    pub(crate) delimiter: Option<char>,
    /// The names of the columns of a text file that has no header.
    pub(crate) columns: Option<Vec<String>>,
}

/// A table whose columns are known.
pub(crate) struct TableFile {
    path: PathBuf,
    columns: Vec<String>,
    rows: Rows,
    /// What the file is, in words.
    pub(crate) format: String,
}

/// Where the rows come from.
enum Rows {
    Delimited(Box<CsvRows>),
    JsonLines,
    Parquet,
}

/// How many lines of JSON are looked at for the names of the columns.
const JSON_LINES: usize = 100;

impl TableFile {
    /// Opens `path`; the extension says the format, and the first line the delimiter where
    /// neither the extension nor `layout` does.
    pub(crate) fn open(path: &Path, layout: &Layout) -> Result<Self> {
        let name = files::unpacked_name(path).to_lowercase();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let (rows, columns, format) = match extension {
            "parquet" => (Rows::Parquet, parquet_rows::columns(path)?, "Parquet".to_owned()),
            "json" | "jsonl" | "ndjson" => {
                (Rows::JsonLines, json_columns(path)?, "JSON lines".to_owned())
            }
            _ => {
                let dialect = dialect(path, extension, layout.delimiter)?;
                let rows = match &layout.columns {
                    Some(columns) => CsvRows::without_header(path, dialect, columns.clone())?,
                    None => CsvRows::open(path, dialect)?,
                };
                let columns = rows.columns().to_vec();
                let delimiter = char::from(dialect.delimiter);
                (
                    Rows::Delimited(Box::new(rows)),
                    columns,
                    format!("text with {delimiter:?} between fields"),
                )
            }
        };
        Ok(Self { path: path.to_owned(), columns, rows, format })
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Calls `visit` with the cells `wanted` of each row; its errors are put where the row is.
    pub(crate) fn for_each(
        self,
        wanted: &[usize],
        mut visit: impl FnMut(&[Cell<'_>]) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let names: Vec<&str> = wanted.iter().map(|&column| &*self.columns[column]).collect();
        match self.rows {
            Rows::Delimited(mut rows) => {
                while let Some(row) = rows.next()? {
                    let cells: Vec<_> = wanted.iter().map(|&c| filled(row.field(c))).collect();
                    visit(&cells).map_err(|problem| row.problem(problem))?;
                }
                Ok(())
            }
            Rows::JsonLines => {
                let mut lines = Lines::open(&self.path, Encoding::Utf8)?;
                while let Some(line) = lines.next_filled()? {
                    let object: BTreeMap<String, Json> = serde_json::from_str(line.text)
                        .map_err(|error| line.problem(describe(&error, line.text)))?;
                    let cells: Vec<_> =
                        names.iter().map(|name| json_cell(object.get(*name))).collect();
                    visit(&cells).map_err(|problem| line.problem(problem))?;
                }
                Ok(())
            }
            Rows::Parquet => parquet_rows::for_each(&self.path, &names, &mut visit),
        }
    }
}

/// Calls `visit` with what stands in `columns` of each row of the table at `path`; its errors are put where
/// the row is. A table is CSV, TSV, JSON lines or Parquet.
pub fn read_table<const N: usize>(
    path: &Path,
    columns: [&str; N],
    mut visit: impl FnMut([&str; N]) -> std::result::Result<(), String>,
) -> Result<()> {
    let table = TableFile::open(path, &Layout::default())?;
    let places: Result<Vec<usize>> =
        columns.iter().map(|name| require(path, table.columns(), name)).collect();
    table.for_each(&places?, |cells| {
        let texts: [Cow<'_, str>; N] =
            std::array::from_fn(|place| cells[place].text().unwrap_or_default());
        visit(std::array::from_fn(|place| &*texts[place]))
    })
}

/// A text, or nothing where it is empty.
fn filled(text: &str) -> Cell<'_> {
    if text.is_empty() { Cell::Missing } else { Cell::Text(Cow::Borrowed(text)) }
}

fn json_cell(json: Option<&Json>) -> Cell<'_> {
    match json {
        Some(Json::Text(text)) => filled(text.trim()),
        Some(Json::Number(number)) => Cell::Text(Cow::Owned(number.to_string())),
        Some(Json::Bool(truth)) => Cell::Text(Cow::Owned(truth.to_string())),
        Some(list @ Json::List(_)) => Cell::List(list.texts()),
        None | Some(Json::Null(()) | Json::Other(_)) => Cell::Missing,
    }
}

/// The names in the first objects of a file of JSON lines.
fn json_columns(path: &Path) -> Result<Vec<String>> {
    let mut lines = Lines::open(path, Encoding::Utf8)?;
    let mut columns: BTreeSet<String> = BTreeSet::new();
    for _ in 0..JSON_LINES {
        let Some(line) = lines.next_filled()? else { break };
        let object: BTreeMap<String, Json> = serde_json::from_str(line.text)
            .map_err(|error| line.problem(describe(&error, line.text)))?;
        columns.extend(object.into_keys());
    }
    if columns.is_empty() {
        return Err(Error::file(path, "is empty, expected one JSON object a line"));
    }
    Ok(columns.into_iter().collect())
}

/// The delimiter: as given, by the extension, or the most frequent candidate in the first line.
///
/// Files with tabs are read without quotes, since titles with a lone `"` are common in them.
fn dialect(path: &Path, extension: &str, given: Option<char>) -> Result<Dialect> {
    const CANDIDATES: [u8; 4] = [b'\t', b',', b';', b'|'];
    let delimiter = match (given, extension) {
        (Some(given), _) => {
            u8::try_from(given).ok().filter(u8::is_ascii).ok_or_else(|| Error::Setting {
                name: "delimiter".to_owned(),
                found: format!("{given:?}"),
                expected: "one ASCII character".to_owned(),
            })?
        }
        (None, "tsv") => b'\t',
        (None, _) => {
            let mut lines = Lines::open(path, Encoding::Utf8)?;
            let first = lines.next()?.map(|line| line.text.to_owned()).unwrap_or_default();
            let count = |candidate: u8| first.bytes().filter(|&byte| byte == candidate).count();
            let best = CANDIDATES.into_iter().rev().max_by_key(|&candidate| count(candidate));
            match best {
                Some(best) if count(best) > 0 => best,
                _ if extension == "csv" || first.is_empty() => b',',
                _ => {
                    return Err(Error::line(
                        path,
                        1,
                        format!(
                            "is {}, expected fields separated by a tab, comma, semicolon or bar",
                            quoted(&first)
                        ),
                    ));
                }
            }
        }
    };
    Ok(Dialect { delimiter, quotes: delimiter != b'\t' })
}
