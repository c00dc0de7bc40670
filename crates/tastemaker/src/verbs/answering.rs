//! Evaluate what other tools foretold or wrote: ratings, clicks, texts.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tastemaker_core::answers::{
    AnswerColumns, Clicks, Written, read_clicks, read_ratings, read_written,
};
use tastemaker_eval::generation::{self, Pair};
use tastemaker_eval::predictions::{self, Click};
use tastemaker_eval::similarity::text_similarity;
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::TextEncoder;

use crate::Result;
use crate::text::embedded;

/// Bins of the expected calibration error.
const BINS: usize = 10;

/// Metrics of what was foretold or written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Measured {
    /// What they were taken of, in a sentence.
    pub protocol: String,
    /// Each metric; those that cannot be taken are left out, and the protocol says why.
    pub metrics: Vec<Measure>,
}

/// The value of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Measure {
    /// The metric's name.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// RMSE and MAE of the ratings in the file at `path`.
pub fn evaluate_ratings(path: &Path, columns: &AnswerColumns) -> Result<Measured> {
    let ratings = read_ratings(path, columns)?;
    let values = [("RMSE", predictions::rmse(&ratings)), ("MAE", predictions::mae(&ratings))];
    Ok(measured(&[format!("{} ratings as they were foretold", ratings.len())], values))
}

/// AUC of the clicks in the file at `path`; log-loss and calibration where scores are probabilities; MIND's
/// metrics, of each group by itself, where a column says what was asked about together.
pub fn evaluate_clicks(path: &Path, columns: &AnswerColumns) -> Result<Measured> {
    let Clicks { clicks, groups } = read_clicks(path, columns)?;
    let n = clicks.iter().filter(|(_, click)| *click).count();
    let mut told = vec![format!("{n} clicks and {} misses", clicks.len() - n)];
    let mut values = vec![("AUC", predictions::auc(&clicks))];
    if clicks.iter().all(|(score, _)| (0.0..=1.0).contains(score)) {
        values.push(("log-loss", predictions::log_loss(&clicks)));
        values.push(("ECE", predictions::calibration_error(&clicks, BINS)));
        told.push(format!("ECE over {BINS} bins"));
    } else {
        told.push("scores are no probabilities, so without log-loss and ECE".to_owned());
    }
    let Some((name, groups)) = groups else {
        told.push("no column says what was asked about together".to_owned());
        return Ok(measured(&told, values));
    };
    let grouped = together(&clicks, &groups);
    let grouped: Vec<&[Click]> = grouped.iter().map(Vec::as_slice).collect();
    if let Some(of) = predictions::grouped(&grouped) {
        let n = of.n + of.skipped;
        told.push(format!(
            "MIND's metrics over {} of {n} groups by {name:?}, those with a click and a miss",
            of.n
        ));
        values.extend([
            ("AUC of groups", Some(of.auc)),
            ("AUC of groups, by what was shown", Some(of.auc_by_shown)),
            ("AUC of groups, by clicks (GAUC)", Some(of.auc_by_clicks)),
            ("MRR of groups", Some(of.mrr)),
            ("NDCG@5 of groups", Some(of.ndcg_5)),
            ("NDCG@10 of groups", Some(of.ndcg_10)),
        ]);
    } else {
        told.push(format!("no group by {name:?} has both a click and a miss"));
    }
    Ok(measured(&told, values))
}

/// What texts in the file at `path` have in common with the right ones, and how varied they are; with the
/// sentence encoder in the folder `model` also how near they are in meaning.
pub fn evaluate_texts(
    path: &Path,
    columns: &AnswerColumns,
    model: Option<&Path>,
) -> Result<Measured> {
    let written = read_written(path, columns)?;
    let pairs: Vec<Pair<'_>> = written.iter().map(|w| (&w.text[..], &w.reference[..])).collect();
    let texts: Vec<&str> = pairs.iter().map(|(text, _)| *text).collect();
    let mut values = vec![
        ("BLEU", generation::bleu(&pairs)),
        ("ROUGE-1", generation::rouge_n(&pairs, 1)),
        ("ROUGE-2", generation::rouge_n(&pairs, 2)),
        ("ROUGE-L", generation::rouge_l(&pairs)),
        ("METEOR", generation::meteor(&pairs)),
        ("chrF", generation::chrf(&pairs)),
        ("Distinct-1", generation::distinct(&texts, 1)),
        ("Distinct-2", generation::distinct(&texts, 2)),
        ("USR", generation::unique_sentence_ratio(&texts)),
    ];
    let mut told = vec![format!("{} texts; METEOR without synonyms", written.len())];
    values.extend(features(&written, &mut told));
    if let Some(model) = model {
        let encoder = TextEncoder::read(model, Precision::F32)?;
        let width = encoder.width();
        let embed = |of: fn(&Written) -> &String| -> Result<Vec<f32>> {
            embedded(&encoder, &written.iter().map(|w| of(w).clone()).collect::<Vec<_>>())
        };
        let (own, other) = (embed(|w| &w.text)?, embed(|w| &w.reference)?);
        let both: Vec<_> = own.chunks_exact(width).zip(other.chunks_exact(width)).collect();
        values.push(("cosine", text_similarity(&both)));
        told.push(format!("cosines by {}", model.display()));
    }
    Ok(measured(&told, values.into_iter().map(|(name, value)| (name, Some(value)))))
}

/// Of features that texts should speak of, where there are any.
fn features(written: &[Written], told: &mut Vec<String>) -> Vec<(&'static str, f64)> {
    let with = written.iter().filter_map(|w| Some((&w.text[..], w.feature.as_deref()?)));
    let pairs: Vec<Pair<'_>> = with.collect();
    if pairs.is_empty() {
        return vec![];
    }
    let all: BTreeSet<&str> = pairs.iter().map(|(_, feature)| *feature).collect();
    let texts: Vec<&str> = pairs.iter().map(|(text, _)| *text).collect();
    told.push(format!("{} features of {} texts", all.len(), pairs.len()));
    vec![
        ("FMR", generation::feature_matching(&pairs)),
        ("FCR", generation::feature_coverage(&texts, &all)),
        ("DIV", generation::feature_diversity(&texts, &all)),
    ]
}

/// The clicks of each group, groups in the order in which they come.
fn together(clicks: &[Click], groups: &[u32]) -> Vec<Vec<Click>> {
    let n = groups.iter().max().map_or(0, |group| *group as usize + 1);
    let mut together = vec![Vec::new(); n];
    for (click, group) in clicks.iter().zip(groups) {
        together[*group as usize].push(*click);
    }
    together
}

fn measured<'a>(
    told: &[String],
    values: impl IntoIterator<Item = (&'a str, Option<f64>)>,
) -> Measured {
    let measure = |(name, value): (&str, Option<f64>)| {
        Some(Measure { metric: name.to_owned(), value: value? })
    };
    Measured {
        protocol: told.join("; "),
        metrics: values.into_iter().filter_map(measure).collect(),
    }
}
