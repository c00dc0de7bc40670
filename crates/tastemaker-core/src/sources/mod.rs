//! Where data comes from: every format that can be read, and what is inside the program.

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::prepare::{Manifest, PrepareOptions};
use crate::registry;

mod amazon_reviews;
pub mod demo;
mod movielens;
mod prepared;
mod recbole;
mod recbole_sequences;
mod sequence_lines;
mod synthetic;
mod table;
mod together;

pub use crate::detect::{Detected, detect};
pub use crate::reading::raw::{Input, RawData};
pub use amazon_reviews::AmazonReviews;
pub use demo::{Demo, DemoSize};
pub use movielens::Movielens;
pub use prepared::PreparedFolder;
pub use recbole::Recbole;
pub use recbole_sequences::RecboleSequences;
pub use sequence_lines::SequenceLines;
pub use synthetic::Synthetic;
pub use table::Table;
pub use together::Together;

pub(crate) use amazon_reviews::{is_json_lines, is_review};
pub(crate) use recbole_sequences::has_histories;
pub(crate) use table::is_interactions;

/// Something that reads an outside format.
pub trait Source {
    /// Reads everything in one pass; errors name the file, the line, what was found and what was
    /// expected.
    fn read(&self) -> Result<RawData>;
}

registry! {
    /// Every source a study can name.
    #[expect(clippy::large_enum_variant, reason = "a process has one or two of them")]
    pub enum AnySource: Source {
        /// Amazon reviews and product metadata as JSON lines (2014, 2018, 2023).
        "amazon-reviews" => AmazonReviews(AmazonReviews),
        /// Goodreads readers and their books, real data inside the program.
        "demo" => Demo(Demo),
        /// The MovieLens originals: u.data, ratings.dat or ratings.csv with movies and users.
        "movielens" => Movielens(Movielens),
        /// A folder that `tastemaker data prepare` wrote.
        "prepared" => Prepared(PreparedFolder),
        /// RecBole's atomic files: .inter with .item, .user, .kg and .link beside it.
        "recbole" => Recbole(Recbole),
        /// Atomic files with rows of a history and the next item.
        "recbole-sequences" => RecboleSequences(RecboleSequences),
        /// One user a line with the items in order, as S3-Rec has them.
        "sequence-lines" => SequenceLines(SequenceLines),
        /// Made-up users who follow series of items: any size, and the best possible result is known.
        "synthetic" => Synthetic(Synthetic),
        /// Any CSV, TSV, JSON lines or Parquet with one interaction a row.
        "table" => Table(Table),
        /// Several data sets side by side, to learn from before another.
        "together" => Together(Together),
    }
}

/// Reads `source` and prepares it.
pub fn load(source: &AnySource, options: &PrepareOptions) -> Result<(Dataset, Manifest)> {
    let prepared = crate::prepare::prepare(source, options)?;
    Ok((prepared.dataset, prepared.manifest))
}

/// The title column of `attributes`: `title` or what is called like one.
pub(crate) fn title_of(attributes: &[crate::catalog::Attribute]) -> Option<String> {
    let is_text =
        |a: &&crate::catalog::Attribute| matches!(a.column, crate::catalog::Column::Text(_));
    let texts = || attributes.iter().filter(is_text);
    texts()
        .find(|attribute| attribute.name == "title")
        .or_else(|| texts().find(|a| crate::reading::attributes::is_title(&a.name)))
        .map(|attribute| attribute.name.clone())
}

/// A note that rows of a side file were left out, if any were.
pub(crate) fn left_out(path: &Path, unknown: usize, repeated: usize, what: &str) -> Vec<String> {
    let name = crate::reading::files::name(path);
    let mut notes = Vec::new();
    if unknown > 0 {
        notes.push(format!(
            "{unknown} rows of {name} are about {what} without interactions: left out"
        ));
    }
    if repeated > 0 {
        notes.push(format!(
            "{repeated} rows of {name} repeat a row about the same one: the first one counts"
        ));
    }
    notes
}
