//! The text files of TREC: words with blanks between them, and no header.

use std::path::Path;

use crate::error::Result;
use crate::reading::files;
use crate::reading::lines::{Encoding, Lines, quoted};
use crate::reading::table_file::Cell;

/// What the words of a line are.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// In words.
    pub(super) names: &'static [&'static str],
    /// What files of this kind are called.
    pub(super) extensions: &'static [&'static str],
}

/// A run.
pub(super) const RUN: Format =
    Format { names: &["user", "Q0", "item", "rank", "score", "tag"], extensions: &["trec", "run"] };

/// Relevances.
pub(super) const QRELS: Format =
    Format { names: &["user", "0", "item", "relevance"], extensions: &["trec", "qrels", "qrel"] };

impl Format {
    /// Whether `path` is called so, or its first line has as many words, the second of which is what
    /// stands there for nothing.
    pub(super) fn is(self, path: &Path) -> Result<bool> {
        if self.extensions.iter().any(|extension| files::has_extension(path, extension)) {
            return Ok(true);
        }
        if files::has_extension(path, "parquet") {
            return Ok(false);
        }
        let mut lines = Lines::open(path, Encoding::Utf8)?;
        let first = lines.next_filled()?;
        let words: Vec<&str> =
            first.iter().flat_map(|line| line.text.split_ascii_whitespace()).collect();
        Ok(words.len() == self.names.len() && ["Q0", "q0", "0"].contains(&words[1]))
    }

    /// Calls `visit` with the words at `wanted` of each line; its errors are put where the line is.
    pub(super) fn for_each(
        self,
        path: &Path,
        wanted: &[usize],
        mut visit: impl FnMut(&[Cell<'_>]) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let mut lines = Lines::open(path, Encoding::Utf8)?;
        let n = self.names.len();
        while let Some(line) = lines.next_filled()? {
            let mut words = [""; 8];
            let mut found = 0;
            for word in line.text.split_ascii_whitespace() {
                if let Some(place) = words.get_mut(found) {
                    *place = word;
                }
                found += 1;
            }
            if found != n {
                let names = self.names.join(" ");
                let problem =
                    format!("has {found} words, expected {n} ({names}): {}", quoted(line.text));
                return Err(line.problem(problem));
            }
            let cells: Vec<_> = wanted.iter().map(|&word| Cell::Text(words[word].into())).collect();
            visit(&cells).map_err(|problem| line.problem(problem))?;
        }
        Ok(())
    }
}
