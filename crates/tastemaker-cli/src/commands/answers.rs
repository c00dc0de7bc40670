//! What `tastemaker evaluate` can take of other tools beside lists: ratings, clicks, texts.

use std::path::PathBuf;

use tastemaker::core::answers::AnswerColumns;
use tastemaker::{Measure, Measured};

use crate::output;

/// What is of runs and lists alone.
const NOT_OF_THESE: [&str; 10] = [
    "run",
    "runs",
    "qrels",
    "part",
    "metric",
    "targets",
    "sampled",
    "candidates",
    "users",
    "allow_seen",
];

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Ratings, clicks and texts of other tools")]
pub(super) struct Answers {
    /// Evaluate the ratings in this table: RMSE, MAE
    #[arg(long, value_name = "FILE", group = "answers", conflicts_with_all = NOT_OF_THESE)]
    ratings: Option<PathBuf>,
    /// Evaluate the clicks (1 or 0) in this table: AUC, log-loss, ECE, and MIND's metrics by group
    #[arg(long, value_name = "FILE", group = "answers", conflicts_with_all = NOT_OF_THESE)]
    clicks: Option<PathBuf>,
    /// Evaluate the generated texts in this table: BLEU, ROUGE, METEOR, chrF, Distinct, USR, FMR, FCR, DIV
    #[arg(long, value_name = "FILE", group = "answers", conflicts_with_all = NOT_OF_THESE)]
    texts: Option<PathBuf>,
    /// The column with what was foretold or written
    #[arg(long, value_name = "COLUMN", requires = "answers")]
    prediction_column: Option<String>,
    /// The column with what came: the rating, the click, the right text
    #[arg(long, value_name = "COLUMN", requires = "answers")]
    truth_column: Option<String>,
    /// The column that says which clicks were asked about together; "" for none
    #[arg(long, value_name = "COLUMN", requires = "clicks")]
    group_column: Option<String>,
    /// The column with the feature that a text should speak of; "" for none
    #[arg(long, value_name = "COLUMN", requires = "texts")]
    feature_column: Option<String>,
    /// The folder of a sentence encoder, for how near texts are in meaning
    #[arg(long, value_name = "FOLDER", requires = "texts")]
    encoder: Option<PathBuf>,
}

impl Answers {
    /// What is found, where a file is named.
    pub(super) fn measured(&self) -> anyhow::Result<Option<Measured>> {
        let columns = AnswerColumns {
            prediction: self.prediction_column.clone(),
            truth: self.truth_column.clone(),
            group: self.group_column.clone(),
            feature: self.feature_column.clone(),
        };
        Ok(match (&self.ratings, &self.clicks, &self.texts) {
            (Some(path), _, _) => Some(tastemaker::evaluate_ratings(path, &columns)?),
            (_, Some(path), _) => Some(tastemaker::evaluate_clicks(path, &columns)?),
            (_, _, Some(path)) => {
                Some(tastemaker::evaluate_texts(path, &columns, self.encoder.as_deref())?)
            }
            (None, None, None) => None,
        })
    }
}

/// As a table.
pub(super) fn text(measured: &Measured) -> String {
    let headings = ["metric", "value"].map(str::to_owned);
    let row = |measure: &Measure| vec![measure.metric.clone(), format!("{:.4}", measure.value)];
    let table = output::table(&headings, 1, measured.metrics.iter().map(row).collect());
    format!("{table}\n\n{}", measured.protocol)
}
