//! How the arms of a study differ, user by user.

use std::collections::BTreeMap;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde::Serialize;
use tastemaker_core::SeedTree;
use tastemaker_eval::significance::{Comparison, benjamini_hochberg, holm};

use tastemaker_eval::metrics::Better;

use super::evaluating::column;
use super::report::{ArmReport, Report};
use crate::study::{RunFolder, Study};
use crate::{Error, Result};

/// Bootstrap samples, and random signs, of a comparison.
const RESAMPLES: usize = 10_000;

/// How arms differ from one of them in a metric; the tests of all of them are a family.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Family {
    /// The metric, over the test targets.
    pub metric: String,
    /// The arm with which the others are compared: the one with the best mean over the validation
    /// targets, of equal ones the first.
    pub against: String,
    /// The others.
    pub arms: Vec<Compared>,
}

/// How an arm differs from another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// The arm.
    pub arm: String,
    /// The arm's values, minus the other's.
    pub comparison: Comparison,
    /// p of the randomisation test, corrected by Holm over the family.
    pub holm: f64,
    /// The same by Benjamini and Hochberg.
    pub benjamini_hochberg: f64,
}

/// A user's values, added up over seeds, and how many they are.
type PerUser = BTreeMap<String, (f64, f64)>;

/// Compares the arms of a study in each metric of single users with the best one, each user's values
/// averaged over the seeds first: what differs between seeds is not what differs between users.
///
/// # Errors
/// If a run's file of users cannot be read.
pub fn compare(study: &Study, report: &Report) -> Result<Vec<Family>> {
    let Some(first) = report.arms.first() else { return Ok(vec![]) };
    let mut families = Vec::new();
    let metrics = study.evaluate.metrics.iter();
    for (i, (cell, metric)) in first.validation.iter().zip(metrics).enumerate() {
        let sign = if metric.as_dyn().better() == Better::Higher { 1.0 } else { -1.0 };
        let good =
            |arm: &ArmReport| arm.validation.get(i).map_or(f64::NAN, |cell| sign * cell.mean);
        let best = report.arms.iter().reduce(|a, b| if good(b) > good(a) { b } else { a });
        let Some(best) = best.filter(|_| report.arms.len() > 1) else { return Ok(vec![]) };
        let Some(values) = users(best, &cell.metric)? else { continue };
        let mut arms = Vec::new();
        for arm in report.arms.iter().filter(|arm| arm.arm != best.arm) {
            let Some(own) = users(arm, &cell.metric)? else { continue };
            let both = own.iter().filter_map(|(user, own)| Some((own, values.get(user)?)));
            let average = |(sum, n): &(f64, f64)| sum / n;
            let (a, b): (Vec<f64>, Vec<f64>) =
                both.map(|(own, other)| (average(own), average(other))).unzip();
            let seeds = SeedTree::new(0).child(&cell.metric).child(&arm.arm);
            if let Some(comparison) = Comparison::new(&a, &b, RESAMPLES, &seeds) {
                arms.push((arm.arm.clone(), comparison));
            }
        }
        let p: Vec<f64> = arms.iter().map(|(_, comparison)| comparison.randomisation).collect();
        let corrected = holm(&p).into_iter().zip(benjamini_hochberg(&p));
        let arms = arms.into_iter().zip(corrected).map(|((arm, comparison), (holm, bh))| {
            Compared { arm, comparison, holm, benjamini_hochberg: bh }
        });
        let (metric, against) = (cell.metric.clone(), best.arm.clone());
        families.push(Family { metric, against, arms: arms.collect() });
    }
    Ok(families)
}

/// An arm's values of a metric; `None` of a metric of all lists together.
fn users(arm: &ArmReport, metric: &str) -> Result<Option<PerUser>> {
    let mut all = PerUser::new();
    for folder in &arm.folders {
        let Some(values) = read(&RunFolder::open(folder)?.users(), metric)? else {
            return Ok(None);
        };
        for (user, value) in values {
            let sum = all.entry(user).or_default();
            *sum = (sum.0 + value, sum.1 + 1.0);
        }
    }
    Ok(Some(all))
}

/// Reads what `write_users` has written.
fn read(path: &Path, metric: &str) -> Result<Option<Vec<(String, f64)>>> {
    let failed = |problem: String| Error::Run { path: path.to_owned(), problem };
    let file =
        fs_err::File::open(path).map_err(|source| tastemaker_core::Error::read(path, source))?;
    let reader = SerializedFileReader::new(file.into_file());
    let reader = reader.map_err(|error| failed(format!("this is no file of users: {error}")))?;
    let name = column(metric);
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let Some(column) = columns.iter().position(|column| column.name() == name) else {
        return Ok(None);
    };
    let rows = reader.get_row_iter(None).map_err(|error| failed(error.to_string()))?;
    let mut values = Vec::new();
    for row in rows {
        let row = row.map_err(|error| failed(error.to_string()))?;
        let user = row.get_string(0).map_err(|error| failed(error.to_string()))?;
        let value = row.get_double(column).map_err(|error| failed(error.to_string()))?;
        values.push((user.clone(), value));
    }
    Ok(Some(values))
}
