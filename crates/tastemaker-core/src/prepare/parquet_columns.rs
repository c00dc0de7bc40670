//! Our columns as Parquet and back; only what the prepared folder needs.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{
    Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel,
};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

/// A column of a Parquet file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    /// Numbers of users, items, entities.
    Ids(Vec<u32>),
    /// Times.
    Doubles(Vec<f64>),
    /// Values.
    Floats(Vec<f32>),
    /// Outside ids.
    Names(Vec<String>),
    /// Text that may be missing.
    Texts(Vec<Option<String>>),
    /// Numbers that may be missing.
    Numbers(Vec<Option<f64>>),
    /// Lists of texts.
    Lists(Vec<Vec<String>>),
}

/// Which of the kinds of [`Stored`] a column is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// [`Stored::Ids`].
    Ids,
    /// [`Stored::Doubles`].
    Doubles,
    /// [`Stored::Floats`].
    Floats,
    /// [`Stored::Names`].
    Names,
    /// [`Stored::Texts`].
    Texts,
    /// [`Stored::Numbers`].
    Numbers,
    /// [`Stored::Lists`].
    Lists,
}

/// Writes `columns` as one Parquet file in Zstandard; the same columns give the same bytes.
pub(super) fn write(out: impl Write + Send, columns: &[(String, Stored)]) -> Result<()> {
    let fields = columns.iter().map(|(name, column)| field(name, column)).collect::<Result<_>>()?;
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by("tastemaker".to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, column) in columns {
        let Some(mut target) = group.next_column()? else { break };
        write_column(target.untyped(), column)?;
        target.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

/// The schema of one column.
fn field(name: &str, column: &Stored) -> Result<TypePtr> {
    let primitive = |physical: Physical, repetition: Repetition| {
        Type::primitive_type_builder(name, physical).with_repetition(repetition)
    };
    let text = |name: &str, repetition: Repetition| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(repetition)
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8)
            .build()
    };
    let field = match column {
        Stored::Ids(_) => primitive(Physical::INT32, Repetition::REQUIRED)
            .with_converted_type(ConvertedType::UINT_32)
            .build()?,
        Stored::Doubles(_) => primitive(Physical::DOUBLE, Repetition::REQUIRED).build()?,
        Stored::Floats(_) => primitive(Physical::FLOAT, Repetition::REQUIRED).build()?,
        Stored::Names(_) => text(name, Repetition::REQUIRED)?,
        Stored::Texts(_) => text(name, Repetition::OPTIONAL)?,
        Stored::Numbers(_) => primitive(Physical::DOUBLE, Repetition::OPTIONAL).build()?,
        Stored::Lists(_) => {
            let element = Arc::new(text("element", Repetition::REQUIRED)?);
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![element])
                .build()?;
            Type::group_type_builder(name)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::List))
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![Arc::new(list)])
                .build()?
        }
    };
    Ok(Arc::new(field))
}

/// Writes the values of one column with the levels Parquet wants for missing and repeated ones.
fn write_column(writer: &mut ColumnWriter<'_>, column: &Stored) -> Result<()> {
    let bytes = |text: &String| ByteArray::from(text.as_bytes().to_vec());
    let present = |there: bool| i16::from(there);
    match (writer, column) {
        (ColumnWriter::Int32ColumnWriter(writer), Stored::Ids(ids)) => {
            let ids: Vec<i32> = ids.iter().map(|id| id.cast_signed()).collect();
            writer.write_batch(&ids, None, None)?;
        }
        (ColumnWriter::DoubleColumnWriter(writer), Stored::Doubles(numbers)) => {
            writer.write_batch(numbers, None, None)?;
        }
        (ColumnWriter::FloatColumnWriter(writer), Stored::Floats(numbers)) => {
            writer.write_batch(numbers, None, None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Stored::Names(names)) => {
            let names: Vec<ByteArray> = names.iter().map(bytes).collect();
            writer.write_batch(&names, None, None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Stored::Texts(texts)) => {
            let levels: Vec<i16> = texts.iter().map(|text| present(text.is_some())).collect();
            let texts: Vec<ByteArray> = texts.iter().flatten().map(bytes).collect();
            writer.write_batch(&texts, Some(&levels), None)?;
        }
        (ColumnWriter::DoubleColumnWriter(writer), Stored::Numbers(numbers)) => {
            let levels: Vec<i16> = numbers.iter().map(|number| present(number.is_some())).collect();
            let numbers: Vec<f64> = numbers.iter().flatten().copied().collect();
            writer.write_batch(&numbers, Some(&levels), None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Stored::Lists(lists)) => {
            let (mut defined, mut repeated) = (Vec::new(), Vec::new());
            for list in lists {
                defined.extend(std::iter::repeat_n(present(!list.is_empty()), list.len().max(1)));
                repeated.extend((0..list.len().max(1)).map(|position| present(position > 0)));
            }
            let texts: Vec<ByteArray> = lists.iter().flatten().map(bytes).collect();
            writer.write_batch(&texts, Some(&defined), Some(&repeated))?;
        }
        _ => return Err(ParquetError::General("a column and its schema disagree".to_owned())),
    }
    Ok(())
}

/// Reads the columns of a Parquet file that [`write`] made; `shapes` says what they must be.
pub(super) fn read(file: std::fs::File, shapes: &[(String, Shape)]) -> Result<Vec<Stored>> {
    let reader = SerializedFileReader::new(file)?;
    let metadata = reader.metadata();
    let fields = metadata.file_metadata().schema_descr().root_schema().get_fields();
    let found: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let expected: Vec<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    if found != expected {
        return Err(ParquetError::General(format!(
            "has the columns {}, expected {}",
            found.join(", "),
            expected.join(", ")
        )));
    }
    if metadata.num_row_groups() != 1 {
        return Err(ParquetError::General("expected one row group".to_owned()));
    }
    let group = reader.get_row_group(0)?;
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    let columns = shapes.iter().enumerate();
    columns
        .map(|(index, (_, shape))| read_column(group.get_column_reader(index)?, *shape, rows))
        .collect()
}

/// Reads one column of `rows` rows.
fn read_column(reader: ColumnReader, shape: Shape, rows: usize) -> Result<Stored> {
    let text = |bytes: &ByteArray| Ok::<_, ParquetError>(bytes.as_utf8()?.to_owned());
    Ok(match (reader, shape) {
        (ColumnReader::Int32ColumnReader(reader), Shape::Ids) => {
            let (ids, ..) = values(reader, rows)?;
            Stored::Ids(ids.into_iter().map(i32::cast_unsigned).collect())
        }
        (ColumnReader::DoubleColumnReader(reader), Shape::Doubles) => {
            Stored::Doubles(values(reader, rows)?.0)
        }
        (ColumnReader::FloatColumnReader(reader), Shape::Floats) => {
            Stored::Floats(values(reader, rows)?.0)
        }
        (ColumnReader::ByteArrayColumnReader(reader), Shape::Names) => {
            let (names, ..) = values(reader, rows)?;
            Stored::Names(names.iter().map(text).collect::<Result<_>>()?)
        }
        (ColumnReader::ByteArrayColumnReader(reader), Shape::Texts) => {
            let (texts, defined, _) = values(reader, rows)?;
            let mut texts = texts.iter();
            let rows = defined.iter().map(|&there| match there {
                0 => Ok(None),
                _ => texts.next().map(text).transpose(),
            });
            Stored::Texts(rows.collect::<Result<_>>()?)
        }
        (ColumnReader::DoubleColumnReader(reader), Shape::Numbers) => {
            let (numbers, defined, _) = values(reader, rows)?;
            let mut numbers = numbers.into_iter();
            let rows = defined.iter().map(|&there| if there == 0 { None } else { numbers.next() });
            Stored::Numbers(rows.collect())
        }
        (ColumnReader::ByteArrayColumnReader(reader), Shape::Lists) => {
            let (texts, defined, repeated) = values(reader, rows)?;
            let mut texts = texts.iter();
            let mut lists: Vec<Vec<String>> = Vec::with_capacity(rows);
            for (&there, &again) in defined.iter().zip(&repeated) {
                if again == 0 {
                    lists.push(Vec::new());
                }
                if let (true, Some(list)) = (there > 0, lists.last_mut()) {
                    list.extend(texts.next().map(text).transpose()?);
                }
            }
            Stored::Lists(lists)
        }
        _ => return Err(ParquetError::General(format!("a column is not {shape:?}"))),
    })
}

/// The values of a column with its definition and repetition levels.
#[expect(clippy::type_complexity, reason = "three columns that belong together, used here only")]
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
) -> Result<(Vec<T::T>, Vec<i16>, Vec<i16>)> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    while done < rows {
        let (records, ..) = reader.read_records(
            rows - done,
            Some(&mut defined),
            Some(&mut repeated),
            &mut values,
        )?;
        if records == 0 {
            return Err(ParquetError::General(format!("has {done} rows, expected {rows}")));
        }
        done += records;
    }
    Ok((values, defined, repeated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_as_they_went() {
        let columns = vec![
            ("a b".to_owned(), Stored::Ids(vec![0, 3, u32::MAX])),
            ("d".to_owned(), Stored::Doubles(vec![0.1, -0.0, 1e300])),
            ("f".to_owned(), Stored::Floats(vec![0.1, 2.0, 3.0])),
            ("n".to_owned(), Stored::Names(vec![String::new(), "é".to_owned(), "x".to_owned()])),
            ("t".to_owned(), Stored::Texts(vec![None, Some("y".to_owned()), None])),
            ("o".to_owned(), Stored::Numbers(vec![Some(1.5), None, None])),
            ("l".to_owned(), Stored::Lists(vec![vec![], vec!["p".into(), "q".into()], vec![]])),
        ];
        let file = tempfile::tempfile().unwrap();
        write(&file, &columns).unwrap();
        let shapes = [
            Shape::Ids,
            Shape::Doubles,
            Shape::Floats,
            Shape::Names,
            Shape::Texts,
            Shape::Numbers,
            Shape::Lists,
        ];
        let shapes: Vec<(String, Shape)> =
            columns.iter().map(|(name, _)| name.clone()).zip(shapes).collect();
        let read = read(file, &shapes).unwrap();
        assert_eq!(read, columns.into_iter().map(|(_, column)| column).collect::<Vec<_>>());
    }
}
