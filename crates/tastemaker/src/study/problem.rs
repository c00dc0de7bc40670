//! What is wrong with a study file, and where.

use std::fmt;
use std::ops::Range;

use tastemaker_core::suggest;

/// One mistake in a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was found and what was expected.
    pub message: String,
    /// Where; `None` where something is missing altogether.
    pub place: Option<Place>,
}

/// A place in a study's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or `--set`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// The whole line.
    pub text: String,
}

impl Problem {
    /// A mistake that has no place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None }
    }

    /// What the parser found wrong; names it did not know get a "did you mean".
    pub(super) fn from_toml(error: &toml::de::Error, place: Option<Place>) -> Self {
        let message = error.message().trim_end_matches('\n').replace('\n', "; ");
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let hint = match names.split_first() {
            Some((found, known)) if message.starts_with("unknown ") => {
                suggest::hint(found, known.iter().copied())
            }
            _ => String::new(),
        };
        Self { message: format!("{message}{hint}"), place }
    }
}

impl Place {
    /// The place of the bytes `span` of `text`, the content of `file`.
    pub(super) fn new(file: &str, text: &str, span: Range<usize>) -> Self {
        let floor = |at: usize| {
            (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
        };
        let (start, end) = (floor(span.start), floor(span.end));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let column = text[line_start..start].chars().count();
        let width = text[start..end.max(start)].lines().next().unwrap_or_default().chars().count();
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: column + 1,
            width: width.max(1),
            text: line.to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { file, line, column, width, text }) = &self.place else {
            return f.write_str(&self.message);
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{file}:{line}:{column}: {}", self.message)?;
        writeln!(f, "  {number} | {text}")?;
        write!(f, "  {margin} | {}{}", " ".repeat(column - 1), "^".repeat(*width))
    }
}
