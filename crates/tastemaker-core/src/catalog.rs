//! The items: titles, texts and attributes.

use crate::ids::ItemId;

/// What a column of a [`Catalog`] or of [`crate::people::UserAttributes`] holds, a value a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Free text, such as a title; `None` where it is missing.
    Text(Vec<Option<String>>),
    /// Any number of categories, such as genres; empty where they are missing.
    Categories(Vec<Vec<String>>),
    /// A number, such as a year; `None` where it is missing.
    Number(Vec<Option<f64>>),
}

impl Column {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(rows) => rows.len(),
            Self::Categories(rows) => rows.len(),
            Self::Number(rows) => rows.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it holds, in a word: `text`, `categories` or `number`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Categories(_) => "categories",
            Self::Number(_) => "number",
        }
    }

    /// How many rows have a value.
    pub fn n_present(&self) -> usize {
        (0..self.len()).filter(|&row| self.display(row).is_some()).count()
    }

    /// The value of `row` as a person would write it; categories are separated by ", ".
    pub fn display(&self, row: usize) -> Option<String> {
        match self {
            Self::Text(rows) => rows.get(row)?.clone(),
            Self::Categories(rows) => {
                let categories = rows.get(row)?;
                (!categories.is_empty()).then(|| categories.join(", "))
            }
            Self::Number(rows) => rows.get(row)?.as_ref().map(ToString::to_string),
        }
    }

    /// The rows `keep`, in that order.
    #[must_use]
    pub fn select(&self, keep: &[usize]) -> Self {
        match self {
            Self::Text(rows) => Self::Text(keep.iter().map(|&row| rows[row].clone()).collect()),
            Self::Categories(rows) => {
                Self::Categories(keep.iter().map(|&row| rows[row].clone()).collect())
            }
            Self::Number(rows) => Self::Number(keep.iter().map(|&row| rows[row]).collect()),
        }
    }
}

/// A named column.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name, as in the source.
    pub name: String,
    /// The values, one a row.
    pub column: Column,
}

/// The items of a data set and their texts.
///
/// Each attribute has one row an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    attributes: Vec<Attribute>,
    title: Option<usize>,
}

impl Catalog {
    /// Builds a catalog; `title` names the attribute that a person knows the item by.
    pub fn new(attributes: Vec<Attribute>, title: Option<&str>) -> Self {
        let title = title.and_then(|title| attributes.iter().position(|a| a.name == title));
        Self { attributes, title }
    }

    /// All attributes, the title included.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The attribute that holds titles, if the source had titles.
    pub fn title_attribute(&self) -> Option<&Attribute> {
        self.title.map(|title| &self.attributes[title])
    }

    /// The title of `item`.
    pub fn title(&self, item: ItemId) -> Option<&str> {
        match &self.title_attribute()?.column {
            Column::Text(rows) => rows.get(item.index())?.as_deref(),
            Column::Categories(_) | Column::Number(_) => None,
        }
    }

    /// The same with what `title` makes of each item's title; items without one stay without.
    #[must_use]
    pub fn retitled(&self, title: impl Fn(ItemId, &str) -> String) -> Self {
        let mut changed = self.clone();
        let attribute = self.title.map(|at| &mut changed.attributes[at].column);
        if let Some(Column::Text(rows)) = attribute {
            for (item, row) in (0..).map(ItemId).zip(rows) {
                *row = row.as_deref().map(|old| title(item, old));
            }
        }
        changed
    }

    /// Everything that is written about `item`: its title first, then its other attributes but
    /// numbers, separated by spaces. Empty where nothing is known.
    pub fn text(&self, item: ItemId) -> String {
        let mut words: Vec<String> = self.title(item).map(str::to_owned).into_iter().collect();
        for (index, attribute) in self.attributes.iter().enumerate() {
            if Some(index) != self.title && !matches!(attribute.column, Column::Number(_)) {
                words.extend(attribute.column.display(item.index()));
            }
        }
        words.join(" ")
    }
}

/// The words of a text: runs of letters and digits, in lower case.
///
/// ```
/// use tastemaker_core::catalog::words;
/// assert_eq!(words("Nail Lacquer, 0.5 oz").collect::<Vec<_>>(), ["nail", "lacquer", "0", "5", "oz"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}
