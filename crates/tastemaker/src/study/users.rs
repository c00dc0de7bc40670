//! The file with the test metrics of every user: the outside id and a column a metric.

use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;
use tastemaker_core::artifact;
use tastemaker_core::prepare::Prepared;
use tastemaker_eval::Evaluation;

use crate::{Error, Result};

/// Every user's value of each metric of single lists.
#[derive(Clone, Debug, PartialEq)]
pub struct UserValues {
    /// The users, by their outside ids.
    pub users: Vec<String>,
    /// The metrics, by what [`column`] makes of their labels, each with a value a user.
    pub metrics: Vec<(String, Vec<f64>)>,
}

impl UserValues {
    /// The values of the metric with this label.
    pub fn of(&self, label: &str) -> Option<&[f64]> {
        let name = column(label);
        let (_, values) = self.metrics.iter().find(|(metric, _)| *metric == name)?;
        Some(values)
    }
}

/// What the column of a metric is called: what a schema cannot say of it is an underscore.
fn column(metric: &str) -> String {
    let said = |c: char| c.is_ascii_alphanumeric() || "@-.".contains(c);
    metric.chars().map(|c| if said(c) { c } else { '_' }).collect()
}

/// Writes the values of every user to a Parquet file.
pub(crate) fn write(path: &Path, data: &Prepared, evaluation: &Evaluation) -> Result<()> {
    let names = evaluation.per_user.iter().map(|values| column(&values.metric));
    let columns: Vec<String> = names.map(|name| format!("required double {name};")).collect();
    let columns = columns.concat();
    let schema = format!("message users {{ required binary user (string); {columns} }}");
    artifact::write_atomically(path, |file| {
        let schema = Arc::new(parse_message_type(&schema)?);
        let mut writer =
            SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::new()))?;
        let mut group = writer.next_row_group()?;
        let id = |user: &tastemaker_core::UserId| {
            data.dataset.users.id(user.index()).unwrap_or_default()
        };
        let users: Vec<ByteArray> =
            evaluation.users.iter().map(|user| ByteArray::from(id(user))).collect();
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(&users, None, None)?;
            column.close()?;
        }
        for values in &evaluation.per_user {
            if let Some(mut column) = group.next_column()? {
                column.typed::<DoubleType>().write_batch(&values.values, None, None)?;
                column.close()?;
            }
        }
        group.close()?;
        writer.close()?;
        Ok(())
    })?;
    Ok(())
}

/// Reads what [`write`] has written.
pub(crate) fn read(path: &Path) -> Result<UserValues> {
    let failed = |problem: String| Error::Run { path: path.to_owned(), problem };
    let broken = |error: parquet::errors::ParquetError| failed(error.to_string());
    let file =
        fs_err::File::open(path).map_err(|source| tastemaker_core::Error::read(path, source))?;
    let reader = SerializedFileReader::new(file.into_file());
    let reader = reader.map_err(|error| failed(format!("this is no file of users: {error}")))?;
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let names = columns.iter().skip(1).map(|column| (column.name().to_owned(), Vec::new()));
    let mut all = UserValues { users: Vec::new(), metrics: names.collect() };
    for row in reader.get_row_iter(None).map_err(broken)? {
        let row = row.map_err(broken)?;
        all.users.push(row.get_string(0).map_err(broken)?.clone());
        for (i, (_, values)) in all.metrics.iter_mut().enumerate() {
            values.push(row.get_double(i + 1).map_err(broken)?);
        }
    }
    Ok(all)
}
