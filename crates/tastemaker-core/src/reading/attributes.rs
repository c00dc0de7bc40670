//! Attribute columns that are filled row by row while a file is read.

use crate::catalog::{Attribute, Column};
use crate::people::UserAttribute;

/// What the values of an attribute are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Free text.
    Text,
    /// Any number of categories.
    Categories,
    /// A number.
    Number,
}

/// Columns whose rows arrive in any order; the first row about an item or user wins.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    columns: Vec<Attribute>,
    filled: Vec<bool>,
    repeated: usize,
}

impl Attributes {
    /// Columns for `names`, still without rows.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = (&'a str, Kind)>) -> Self {
        let columns = names.into_iter().map(|(name, kind)| {
            let column = match kind {
                Kind::Text => Column::Text(Vec::new()),
                Kind::Categories => Column::Categories(Vec::new()),
                Kind::Number => Column::Number(Vec::new()),
            };
            Attribute { name: name.to_owned(), column }
        });
        Self { columns: columns.collect(), filled: Vec::new(), repeated: 0 }
    }

    /// Announces a row; `false` means that there was one already and this one is to be left out.
    pub(crate) fn begin(&mut self, row: u32) -> bool {
        let row = row as usize;
        if row >= self.filled.len() {
            self.filled.resize(row + 1, false);
        }
        let new = !std::mem::replace(&mut self.filled[row], true);
        self.repeated += usize::from(!new);
        new
    }

    /// How many rows were left out because there was one already.
    pub(crate) fn repeated(&self) -> usize {
        self.repeated
    }

    /// Sets a text; an empty one counts as missing.
    pub(crate) fn text(&mut self, row: u32, column: usize, text: &str) {
        if let Column::Text(rows) = &mut self.columns[column].column {
            let text = text.trim();
            *at(rows, row) = (!text.is_empty()).then(|| text.to_owned());
        }
    }

    /// Sets categories; empty ones and repetitions are left out.
    pub(crate) fn categories<'a>(
        &mut self,
        row: u32,
        column: usize,
        categories: impl IntoIterator<Item = &'a str>,
    ) {
        if let Column::Categories(rows) = &mut self.columns[column].column {
            let kept = at(rows, row);
            kept.clear();
            for category in categories.into_iter().map(str::trim).filter(|c| !c.is_empty()) {
                if !kept.iter().any(|known| known == category) {
                    kept.push(category.to_owned());
                }
            }
        }
    }

    /// Sets a number.
    pub(crate) fn number(&mut self, row: u32, column: usize, number: f64) {
        if let Column::Number(rows) = &mut self.columns[column].column {
            *at(rows, row) = Some(number);
        }
    }

    /// The columns with `n` rows each; columns without any value are left out.
    pub(crate) fn finish(self, n: usize) -> Vec<Attribute> {
        let padded = self.columns.into_iter().map(|mut attribute| {
            match &mut attribute.column {
                Column::Text(rows) => rows.resize(n, None),
                Column::Categories(rows) => rows.resize(n, Vec::new()),
                Column::Number(rows) => rows.resize(n, None),
            }
            attribute
        });
        padded.filter(|attribute| attribute.column.n_present() > 0).collect()
    }

    /// The columns as attributes of `n` users; by their names it is known which are sensitive.
    pub(crate) fn finish_people(self, n: usize) -> Vec<UserAttribute> {
        let people = self.finish(n).into_iter().map(|attribute| {
            let sensitive = is_sensitive(&attribute.name);
            UserAttribute { attribute, sensitive }
        });
        people.collect()
    }
}

/// The row `row`, made if it is not there yet.
fn at<T: Default>(rows: &mut Vec<T>, row: u32) -> &mut T {
    let row = row as usize;
    if row >= rows.len() {
        rows.resize_with(row + 1, T::default);
    }
    &mut rows[row]
}

/// Names of attributes that anti-discrimination law protects (Charter of Fundamental Rights of
/// the European Union, article 21), as data sets spell them.
const SENSITIVE: &[&str] = &[
    "age",
    "age_band",
    "age_group",
    "birth_year",
    "color",
    "disability",
    "ethnicity",
    "gender",
    "marital_status",
    "nationality",
    "political_opinion",
    "race",
    "religion",
    "sex",
    "sexual_orientation",
];

/// Whether an attribute of this name needs a justification when users are treated by it.
pub(crate) fn is_sensitive(name: &str) -> bool {
    SENSITIVE.contains(&name.to_lowercase().replace([' ', '-'], "_").as_str())
}

/// Whether a column of this name holds what a person knows the item by.
pub(crate) fn is_title(name: &str) -> bool {
    let name = name.to_lowercase();
    matches!(name.as_str(), "title" | "name") || name.ends_with("_title") || name.ends_with("_name")
}

/// Whether a column of this name holds sentences and not tokens.
pub(crate) fn is_prose(name: &str) -> bool {
    let name = name.to_lowercase();
    is_title(&name)
        || ["description", "text", "summary", "plot", "abstract", "overview"]
            .iter()
            .any(|word| name.ends_with(word))
}
