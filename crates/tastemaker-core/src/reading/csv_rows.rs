//! Tables of delimited text with a header.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::lines::{self, quoted};
use crate::error::{Error, Result};

/// How a delimited file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// What stands between two fields.
    pub(crate) delimiter: u8,
    /// Whether `"` around a field hides delimiters and line ends in it.
    pub(crate) quotes: bool,
}

impl Dialect {
    /// RFC 4180: commas and quotes.
    pub(crate) fn comma() -> Self {
        Self { delimiter: b',', quotes: true }
    }
}

/// The rows of a delimited file; one row is in memory at a time.
pub(crate) struct CsvRows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn BufRead>>,
    columns: Vec<String>,
    record: csv::StringRecord,
    delimiter: u8,
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct CsvRow<'a> {
    record: &'a csv::StringRecord,
    path: &'a Path,
    line: u64,
}

impl<'a> CsvRow<'a> {
    /// The field of `column`, which is below the number of columns, without surrounding spaces.
    pub(crate) fn field(&self, column: usize) -> &'a str {
        self.record.get(column).unwrap_or_default().trim()
    }

    /// A problem of this row.
    pub(crate) fn problem(&self, problem: impl Into<String>) -> Error {
        Error::line(self.path, self.line, problem)
    }
}

impl CsvRows {
    /// Opens the file and reads its header.
    pub(crate) fn open(path: &Path, dialect: Dialect) -> Result<Self> {
        let mut rows = Self::start(path, dialect)?;
        if !rows.advance()? {
            return Err(Error::file(
                path,
                "is empty, expected a header with the names of the columns",
            ));
        }
        rows.columns = rows.record.iter().map(|name| name.trim().to_owned()).collect();
        Ok(rows)
    }

    /// Opens a file without a header, whose columns are called `columns`.
    pub(crate) fn without_header(
        path: &Path,
        dialect: Dialect,
        columns: Vec<String>,
    ) -> Result<Self> {
        Ok(Self { columns, ..Self::start(path, dialect)? })
    }

    fn start(path: &Path, dialect: Dialect) -> Result<Self> {
        let reader = csv::ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .quoting(dialect.quotes)
            .has_headers(false)
            .flexible(true) // the error is ours, with what was expected
            .from_reader(without_mark(path, lines::open(path)?)?);
        Ok(Self {
            path: path.to_owned(),
            reader,
            columns: Vec::new(),
            record: csv::StringRecord::new(),
            delimiter: dialect.delimiter,
        })
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Where the column called `name` stands, which the file must have.
    pub(crate) fn require(&self, name: &str) -> Result<usize> {
        require(&self.path, &self.columns, name)
    }

    /// The next row; it has as many fields as there are columns.
    pub(crate) fn next(&mut self) -> Result<Option<CsvRow<'_>>> {
        if !self.advance()? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let row = CsvRow { record: &self.record, path: &self.path, line };
        if self.record.len() != self.columns.len() {
            return Err(row.problem(format!(
                "has {} fields, expected {} separated by {:?}: {}",
                self.record.len(),
                self.columns.len(),
                char::from(self.delimiter),
                quoted(&self.columns.join(", "))
            )));
        }
        Ok(Some(row))
    }

    fn advance(&mut self) -> Result<bool> {
        let line = self.reader.position().line();
        self.reader.read_record(&mut self.record).map_err(|error| {
            let at = error.position().map_or(line, csv::Position::line).max(1);
            match error.into_kind() {
                csv::ErrorKind::Io(source) => lines::broken_stream(&self.path, at, &source),
                csv::ErrorKind::Utf8 { err, .. } => {
                    let problem = format!("{err}; expected UTF-8 text");
                    Error::line(&self.path, at, problem)
                }
                other => Error::line(&self.path, at, format!("{other:?}")),
            }
        })
    }
}

/// Passes over a byte-order mark.
fn without_mark(path: &Path, mut reader: Box<dyn BufRead>) -> Result<Box<dyn BufRead>> {
    let start = reader.fill_buf().map_err(|source| lines::broken_stream(path, 1, &source))?;
    if start.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(reader)
}

/// Where the column called `name` stands among `columns`.
pub(crate) fn require(path: &Path, columns: &[String], name: &str) -> Result<usize> {
    columns.iter().position(|column| column == name).ok_or_else(|| {
        let hint = crate::suggest::hint(name, columns.iter().map(String::as_str));
        let has = columns.join(", ");
        Error::file(path, format!("has the columns {has}, expected also {name}{hint}"))
    })
}
