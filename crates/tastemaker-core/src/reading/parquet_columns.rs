//! Rows of a Parquet file whose columns are plain: column by column, many times as fast as row by row.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Repetition};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::schema::types::Type;

use super::parquet_rows::not_parquet;
use super::table_file::Cell;
use crate::error::Error;

/// Rows of which values are in memory at a time.
const ROWS: usize = 2048;

/// Where the columns `names` stand in the file, if all of them are plain: texts, and numbers that
/// are nothing else.
pub(super) fn plain(reader: &dyn FileReader, names: &[&str]) -> Option<Vec<usize>> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let place = |name: &&str| {
        let field = schema.root_schema().get_fields().iter().find(|field| field.name() == *name)?;
        let here = |&i: &usize| schema.column(i).path().parts() == [*name];
        is_plain(field).then(|| (0..schema.num_columns()).find(here)).flatten()
    };
    names.iter().map(place).collect()
}

fn is_plain(field: &Type) -> bool {
    use parquet::basic::Type as Physical;
    if !field.is_primitive() || field.get_basic_info().repetition() == Repetition::REPEATED {
        return false;
    }
    let info = field.get_basic_info();
    let (converted, logical) = (info.converted_type(), info.logical_type_ref());
    match field.get_physical_type() {
        Physical::BYTE_ARRAY => {
            converted == ConvertedType::UTF8 || matches!(logical, Some(LogicalType::String))
        }
        Physical::INT32 | Physical::INT64 => {
            let whole = [
                ConvertedType::NONE,
                ConvertedType::INT_8,
                ConvertedType::INT_16,
                ConvertedType::INT_32,
                ConvertedType::INT_64,
            ];
            let signed = match logical {
                None => true,
                Some(LogicalType::Integer(number)) => number.is_signed,
                Some(_) => false,
            };
            whole.contains(&converted) && signed
        }
        Physical::FLOAT | Physical::DOUBLE => logical.is_none(),
        _ => false,
    }
}

/// Calls `visit` with the cells of these columns of each row.
pub(super) fn for_each(
    path: &Path,
    reader: &dyn FileReader,
    columns: &[usize],
    visit: &mut dyn FnMut(&[Cell<'_>]) -> std::result::Result<(), String>,
) -> crate::error::Result<()> {
    let damaged = |error: ParquetError| not_parquet(path, &error.to_string());
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let open = |&column: &usize| Column::open(&*group, column);
        let mut open: Vec<Column> =
            columns.iter().map(open).collect::<Result<_>>().map_err(damaged)?;
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        while left > 0 {
            let rows = left.min(ROWS);
            for column in &mut open {
                column.fill(rows).map_err(damaged)?;
            }
            for row in 0..rows {
                number += 1;
                let cells = open.iter_mut().map(|column| column.cell(row));
                let cells: Vec<Cell<'_>> = cells.collect::<Result<_>>().map_err(damaged)?;
                visit(&cells)
                    .map_err(|problem| Error::line(path, number, format!("(row) {problem}")))?;
            }
            left -= rows;
        }
    }
    Ok(())
}

/// One column of a row group, of which some rows are read.
struct Column {
    reader: ColumnReader,
    /// Whether each row has a value; empty where all must have one.
    defined: Vec<i16>,
    values: Values,
    /// How many values were given.
    given: usize,
    /// The number that was written last, and how.
    written: Option<i64>,
    text: String,
}

enum Values {
    Wholes(Vec<i64>),
    Singles(Vec<f32>),
    Doubles(Vec<f64>),
    Texts(Vec<ByteArray>),
}

impl Column {
    fn open(group: &dyn RowGroupReader, column: usize) -> Result<Self> {
        let reader = group.get_column_reader(column)?;
        let values = match &reader {
            ColumnReader::FloatColumnReader(_) => Values::Singles(Vec::new()),
            ColumnReader::DoubleColumnReader(_) => Values::Doubles(Vec::new()),
            ColumnReader::ByteArrayColumnReader(_) => Values::Texts(Vec::new()),
            _ => Values::Wholes(Vec::new()),
        };
        let (written, text) = (None, String::new());
        Ok(Self { reader, defined: Vec::new(), values, given: 0, written, text })
    }

    /// Reads the next `rows` rows.
    fn fill(&mut self, rows: usize) -> Result<()> {
        self.defined.clear();
        self.given = 0;
        let defined = &mut self.defined;
        match (&mut self.reader, &mut self.values) {
            (ColumnReader::Int32ColumnReader(reader), Values::Wholes(wholes)) => {
                let mut narrow = Vec::new();
                read(reader, rows, defined, &mut narrow)?;
                wholes.clear();
                wholes.extend(narrow.into_iter().map(i64::from));
                Ok(())
            }
            (ColumnReader::Int64ColumnReader(reader), Values::Wholes(wholes)) => {
                read(reader, rows, defined, wholes)
            }
            (ColumnReader::FloatColumnReader(reader), Values::Singles(numbers)) => {
                read(reader, rows, defined, numbers)
            }
            (ColumnReader::DoubleColumnReader(reader), Values::Doubles(numbers)) => {
                read(reader, rows, defined, numbers)
            }
            (ColumnReader::ByteArrayColumnReader(reader), Values::Texts(texts)) => {
                read(reader, rows, defined, texts)
            }
            _ => Err(ParquetError::General("a column is not as it was".to_owned())),
        }
    }

    /// The cell of a row, which come one after the other.
    fn cell(&mut self, row: usize) -> Result<Cell<'_>> {
        if self.defined.get(row) == Some(&0) {
            return Ok(Cell::Missing);
        }
        let at = self.given;
        self.given += 1;
        Ok(match &self.values {
            Values::Wholes(wholes) => {
                if self.written.replace(wholes[at]) != Some(wholes[at]) {
                    self.text.clear();
                    let _ = write!(self.text, "{}", wholes[at]);
                }
                Cell::Text(Cow::Borrowed(&self.text))
            }
            Values::Singles(numbers) => Cell::Single(numbers[at]),
            Values::Doubles(numbers) => Cell::Double(numbers[at]),
            Values::Texts(texts) => match texts[at].as_utf8()?.trim() {
                "" => Cell::Missing,
                text => Cell::Text(Cow::Borrowed(text)),
            },
        })
    }
}

/// Reads the values of the next `rows` rows, and which of the rows have one.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    defined: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<()> {
    values.clear();
    let mut done = 0;
    while done < rows {
        let (records, ..) = reader.read_records(rows - done, Some(defined), None, values)?;
        if records == 0 {
            return Err(ParquetError::General(format!("ends {} rows early", rows - done)));
        }
        done += records;
    }
    Ok(())
}
