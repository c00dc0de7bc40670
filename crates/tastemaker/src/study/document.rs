//! A study file and the overrides of the command line as one document.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::Places;
use super::problem::{Place, Problem};

/// The texts that a document is made of.
pub(super) struct Texts {
    file: String,
    text: String,
    overrides: Vec<Override>,
}

/// One `--set path=value`.
pub(super) struct Override {
    pub(super) line: String,
    pub(super) path: String,
    /// A document that gives the value to `x`, behind as many blanks as put the value, in places,
    /// behind the text and the overrides before it.
    value: Option<String>,
    start: usize,
}

impl Texts {
    /// `text` is the content of `file`; `overrides` are of the form `a.b=c`.
    pub(super) fn new(file: &str, text: &str, overrides: &[String]) -> Self {
        let mut start = text.len() + 1;
        let mut place = |line: &String| {
            let (path, value) = match line.split_once('=') {
                Some((path, value)) => {
                    (path, Some(format!("{}x={value}", " ".repeat(start + path.len() - 1))))
                }
                None => (line.as_str(), None),
            };
            let place = Override { line: line.clone(), path: path.trim().to_owned(), value, start };
            start += line.len() + 1;
            place
        };
        let overrides = overrides.iter().map(&mut place).collect();
        Self { file: file.to_owned(), text: text.to_owned(), overrides }
    }

    /// What the command line sets.
    pub(super) fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Where `span` is, in the file or on the command line.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        match self.overrides.iter().rfind(|line| line.start <= span.start) {
            Some(Override { line, start, .. }) => {
                Place::new("--set", line, span.start - start..span.end.saturating_sub(*start))
            }
            None => Place::new(&self.file, &self.text, span),
        }
    }
}

/// A study's tables and everything found wrong with them so far.
#[derive(Clone)]
pub(super) struct Document<'t> {
    pub(super) texts: &'t Texts,
    pub(super) table: DeTable<'t>,
    pub(super) problems: Vec<Problem>,
    /// What is no mistake, and should be known.
    pub(super) notes: Vec<String>,
}

impl<'t> Document<'t> {
    /// Parses the text and puts the overrides into it.
    pub(super) fn parse(texts: &'t Texts) -> Self {
        let (table, errors) = DeTable::parse_recoverable(&texts.text);
        let mut document =
            Self { texts, table: table.into_inner(), problems: vec![], notes: vec![] };
        for error in errors {
            let place = error.span().map(|span| texts.place(span));
            document.problems.push(Problem::from_toml(&error, place));
        }
        document.set_all(|_| true);
        document
    }

    /// Puts the overrides into it whose paths are `wanted`.
    pub(super) fn set_all(&mut self, wanted: impl Fn(&str) -> bool) {
        for line in self.texts.overrides.iter().filter(|line| wanted(&line.path)) {
            self.set(line);
        }
    }

    fn set(&mut self, line: &'t Override) {
        let span = line.start..line.start + line.line.len();
        let Some(padded) = &line.value else {
            return self.report("there is no \"=\", expected a.b=c", span);
        };
        // What is not a TOML value is a string, so that `--set study.name=mine` needs no quotes.
        let parsed = DeTable::parse(padded).ok().and_then(|table| table.into_inner().remove("x"));
        let value = parsed.unwrap_or_else(|| {
            let text = line.line.split_once('=').map_or("", |(_, value)| value);
            Spanned::new(span.clone(), DeValue::String(Cow::Borrowed(text)))
        });
        let steps: Vec<&'t str> = line.path.split('.').collect();
        if let Err(problem) = put(&mut self.table, &steps, value, &span) {
            self.report(problem, span);
        }
    }

    /// Takes note of a mistake.
    pub(super) fn report(&mut self, message: impl Into<String>, span: Range<usize>) {
        let place = Some(self.texts.place(span));
        self.problems.push(Problem { message: message.into(), place });
    }

    /// Takes note of a mistake in the setting with these keys.
    pub(super) fn report_at(&mut self, keys: &str, message: impl Into<String>) {
        let places = Places::of_table(&self.table, self.texts);
        let place = places.find(keys).cloned();
        self.problems.push(Problem { message: message.into(), place });
    }

    /// The value as a `T`; what is wrong is reported.
    pub(super) fn read<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'t>>) -> Option<T> {
        let span = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let span = error.span().filter(|at| !at.is_empty()).unwrap_or(span);
                let place = Some(self.texts.place(span));
                self.problems.push(Problem::from_toml(&error, place));
                None
            }
        }
    }
}

/// Puts `value` at the path `steps`, making the tables on the way.
fn put<'t>(
    table: &mut DeTable<'t>,
    steps: &[&'t str],
    value: Spanned<DeValue<'t>>,
    span: &Range<usize>,
) -> Result<(), String> {
    let (first, rest) = steps.split_first().ok_or("the path is empty, expected a.b=c")?;
    if first.is_empty() {
        return Err("a part of the path is empty, expected a.b=c".to_owned());
    }
    let key = || Spanned::new(span.clone(), Cow::Borrowed(*first));
    if rest.is_empty() {
        table.remove(*first);
        table.insert(key(), value);
        return Ok(());
    }
    if table.get(*first).is_none() {
        table.insert(key(), Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    }
    match table.get_mut(*first).map(Spanned::get_mut) {
        Some(DeValue::Table(table)) => put(table, rest, value, span),
        Some(DeValue::Array(items)) => {
            let chosen = item(items, rest[0]).ok_or_else(|| {
                format!(
                    "{first} has no entry {:?}, expected a name or a number from 0 to {}",
                    rest[0],
                    items.len().saturating_sub(1)
                )
            })?;
            match items.as_mut()[chosen].get_mut() {
                DeValue::Table(table) => put(table, &rest[1..], value, span),
                _ => Err(format!("{first}.{} is no table", rest[0])),
            }
        }
        _ => Err(format!("{first} is no table")),
    }
}

/// The entry of a list of tables by its `name`, or by its number from 0.
fn item(items: &[Spanned<DeValue<'_>>], step: &str) -> Option<usize> {
    let named = |item: &Spanned<DeValue<'_>>| {
        let name = item.get_ref().as_table().and_then(|table| table.get("name"));
        name.and_then(|name| name.get_ref().as_str()) == Some(step)
    };
    let numbered = || step.parse().ok().filter(|&number| number < items.len());
    items.iter().position(named).or_else(numbered)
}
