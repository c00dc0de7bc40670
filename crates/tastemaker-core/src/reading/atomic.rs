//! RecBole's atomic files: tab-separated, with a header of `name:type`.

use std::path::{Path, PathBuf};

use super::attributes::{Attributes, Kind, is_prose};
use super::lines::{Encoding, Line, Lines, quoted};
use super::numbers::finite;
use crate::error::{Error, Result};

/// The types of RecBole's atomic files
/// (<https://recbole.io/docs/user_guide/data/atomic_files.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// One token.
    Token,
    /// One number.
    Float,
    /// Tokens separated by spaces.
    TokenSeq,
    /// Numbers separated by spaces.
    FloatSeq,
}

/// One column of an atomic file.
#[derive(Clone, Debug)]
pub(crate) struct AtomicColumn {
    /// The name before the colon.
    pub(crate) name: String,
    /// The type after it.
    pub(crate) r#type: Type,
}

/// An atomic file whose header was read.
pub(crate) struct AtomicFile {
    path: PathBuf,
    lines: Lines,
    /// The columns, in order.
    pub(crate) columns: Vec<AtomicColumn>,
}

/// One row of an atomic file, with as many fields as there are columns.
pub(crate) struct Row<'a> {
    /// The fields.
    pub(crate) fields: Vec<&'a str>,
    /// Where it stands.
    pub(crate) line: Line<'a>,
}

impl AtomicFile {
    /// Opens the file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut lines = Lines::open(path, Encoding::Utf8)?;
        let Some(header) = lines.next()? else {
            return Err(Error::file(path, "is empty, expected a header of name:type columns"));
        };
        let columns = header.text.split('\t').map(|field| {
            let (name, r#type) = field.split_once(':').unwrap_or((field, ""));
            let r#type = match r#type.trim() {
                "token" => Type::Token,
                "float" => Type::Float,
                "token_seq" => Type::TokenSeq,
                "float_seq" => Type::FloatSeq,
                _ => {
                    return Err(header.problem(format!(
                        "the header has {}, expected name:type with type token, float, token_seq \
                         or float_seq, separated by tabs",
                        quoted(field)
                    )));
                }
            };
            Ok(AtomicColumn { name: name.trim().to_owned(), r#type })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Self { path: path.to_owned(), lines, columns })
    }

    /// Where the column called `name` stands.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Where the column called `name` stands, which the file must have.
    pub(crate) fn require(&self, name: &str) -> Result<usize> {
        self.position(name).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
            let hint = crate::suggest::hint(name, names.iter().copied());
            let has = names.join(", ");
            Error::file(&self.path, format!("has the columns {has}, expected also {name}{hint}"))
        })
    }

    /// The next row; blank lines are passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>> {
        let n = self.columns.len();
        let Some(line) = self.lines.next_filled()? else { return Ok(None) };
        let fields: Vec<&str> = line.text.split('\t').collect();
        if fields.len() != n {
            return Err(line.problem(format!(
                "has {} fields, expected {n} separated by tabs, as in the header",
                fields.len()
            )));
        }
        Ok(Some(Row { fields, line }))
    }

    /// Reads the remaining rows as attributes of what `key` names; `number` gives the row's place
    /// or `None` where it is to be left out. Returns the columns and how many rows were left out.
    pub(crate) fn attributes(
        mut self,
        key: &str,
        number: impl Fn(&str) -> Option<u32>,
    ) -> Result<(Attributes, usize)> {
        let key = self.require(key)?;
        let columns = std::mem::take(&mut self.columns);
        let others: Vec<usize> = (0..columns.len()).filter(|&column| column != key).collect();
        let kinds = others.iter().map(|&column| (&*columns[column].name, kind(&columns[column])));
        let mut attributes = Attributes::new(kinds);
        self.columns.clone_from(&columns);
        let mut left_out = 0;
        while let Some(row) = self.next()? {
            let Some(number) = number(row.fields[key].trim()) else {
                left_out += 1;
                continue;
            };
            if attributes.begin(number) {
                for (target, &column) in others.iter().enumerate() {
                    set(&mut attributes, number, target, &columns[column], row.fields[column])
                        .map_err(|problem| row.line.problem(problem))?;
                }
            }
        }
        Ok((attributes, left_out))
    }
}

/// What an attribute column of an atomic file becomes.
fn kind(column: &AtomicColumn) -> Kind {
    match column.r#type {
        Type::Float => Kind::Number,
        _ if is_prose(&column.name) => Kind::Text,
        Type::Token | Type::TokenSeq | Type::FloatSeq => Kind::Categories,
    }
}

/// Puts a field into its column; empty fields are missing values.
fn set(
    attributes: &mut Attributes,
    row: u32,
    target: usize,
    column: &AtomicColumn,
    field: &str,
) -> std::result::Result<(), String> {
    let field = field.trim();
    match (column.r#type, kind(column)) {
        _ if field.is_empty() => {}
        (Type::Float, _) => attributes.number(row, target, finite(&column.name, field)?),
        (_, Kind::Text) => attributes.text(row, target, field),
        (Type::FloatSeq, _) => {
            for number in field.split(' ').filter(|number| !number.is_empty()) {
                finite(&column.name, number)?;
            }
            attributes.categories(row, target, field.split(' '));
        }
        (Type::TokenSeq, _) => attributes.categories(row, target, field.split(' ')),
        (Type::Token, _) => attributes.categories(row, target, [field]),
    }
    Ok(())
}
