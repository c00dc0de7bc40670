//! Evaluate a run again, by other metrics or another protocol.

use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::Part;
use tastemaker_core::{SeedTree, artifact};
use tastemaker_eval::{Evaluation, Summary};

use super::Ended;
use crate::study::{Evaluate, RunFolder};
use crate::{Error, Result};

/// Evaluates the recommender of the run in `folder` over the targets of `part`, as `settings` say
/// or, where they say nothing, as its study does.
pub fn evaluate(folder: &Path, part: Part, settings: Option<&Evaluate>) -> Result<Summary> {
    let Ended { run, recommender } = Ended::read(&RunFolder::open(folder)?)?;
    let settings = settings.unwrap_or(&run.study.evaluate);
    let problems = settings.unsuitable(&run.data.dataset);
    if !problems.is_empty() {
        return Err(Error::Study(problems));
    }
    let evaluator = settings.evaluator()?;
    let seeds = SeedTree::new(run.seed);
    Ok(evaluator.evaluate(&*recommender, &run.data.dataset, &run.split, part, &seeds)?.summary)
}

/// What the column of a metric is called: what a schema cannot say of it is an underscore.
pub(super) fn column(metric: &str) -> String {
    let said = |c: char| c.is_ascii_alphanumeric() || "@-.".contains(c);
    metric.chars().map(|c| if said(c) { c } else { '_' }).collect()
}

/// Writes the values of every user to a Parquet file: the outside id and a column a metric.
pub(super) fn write_users(path: &Path, data: &Prepared, evaluation: &Evaluation) -> Result<()> {
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
