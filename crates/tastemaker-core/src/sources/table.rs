//! Any table of interactions.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RawData, Source, left_out};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::people::{UserAttribute, UserAttributes};
use crate::reading::attributes::{Attributes, Kind, is_prose, is_sensitive, is_title};
use crate::reading::csv_rows::require;
use crate::reading::files;
use crate::reading::numbers::{finite, finite32};
use crate::reading::raw::Input;
use crate::reading::roles::{ITEM, Role, TIME, TITLE, USER, VALUE, plain};
use crate::reading::table_file::{Cell, Layout, TableFile};
use crate::reading::times;

/// A table with one interaction a row: CSV, TSV, JSON lines or Parquet, the texts plain or
/// compressed.
///
/// Which column is what can be said; the usual names are guessed, and the manifest says what was
/// guessed. Attributes can stand in the same table (the first row about an item or user counts)
/// or in tables of their own.
///
/// Lists of categories are JSON or Parquet lists, or texts with `category-separator` between
/// two of them. Times are numbers (seconds, milliseconds … are told by their size) or ISO 8601
/// dates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Table {
    /// The file with the interactions.
    pub path: PathBuf,
    /// The column with the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The column with the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The column with the time; "" for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The column with the value (rating, count); "" for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The column with the item's title; "" for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Columns with text about the item.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub item_text: Vec<String>,
    /// Columns with categories of the item.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub item_categories: Vec<String>,
    /// Columns with numbers about the item.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub item_numbers: Vec<String>,
    /// Columns with categories of the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_categories: Vec<String>,
    /// Columns with numbers about the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_numbers: Vec<String>,
    /// Attributes of users that are sensitive besides those known by name (age, gender, …).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<String>,
    /// A table about the items, with the item's column and the columns above; all of its columns
    /// are taken where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<PathBuf>,
    /// A table about the users, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// What stands between two fields, where it is not told by the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The names of the columns, for a file without a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// What stands between two categories in a text, `|` where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_separator: Option<String>,
}

impl Source for Table {
    fn read(&self) -> Result<RawData> {
        let layout = Layout { delimiter: self.delimiter, columns: self.columns.clone() };
        let file = TableFile::open(&self.path, &layout)?;
        let name = files::data_set_name(&self.path);
        let mut raw = RawData::new(name, format!("a table, {}", file.format));
        raw.inputs.push(Input::File(self.path.clone()));
        let columns = self.columns_of(&file, &mut raw.notes)?;
        self.read_interactions(file, &columns, &mut raw)?;
        if raw.is_empty() {
            return Err(Error::file(&self.path, "has a header and no rows, expected interactions"));
        }
        let item = self.item.as_deref().unwrap_or(&columns.item_name);
        let user = self.user.as_deref().unwrap_or(&columns.user_name);
        if let Some(path) = &self.items {
            let (attributes, unknown) =
                self.side_table(path, (item, &ITEM), &self.item_columns(), |id| raw.items.get(id))?;
            raw.inputs.push(Input::File(path.clone()));
            self.finish_items(path, attributes, unknown, &mut raw);
        }
        if let Some(path) = &self.users {
            let (attributes, unknown) =
                self.side_table(path, (user, &USER), &self.user_columns(), |id| raw.users.get(id))?;
            raw.inputs.push(Input::File(path.clone()));
            raw.notes.extend(left_out(path, unknown, attributes.repeated(), "users"));
            raw.people = self.people(attributes, raw.users.len());
        }
        Ok(raw)
    }
}

/// Where the columns stand in the table of interactions.
struct Places {
    user: usize,
    user_name: String,
    item: usize,
    item_name: String,
    time: Option<usize>,
    value: Option<usize>,
    /// Attributes of items in this table.
    items: Vec<(usize, String, Kind)>,
    /// Attributes of users in this table.
    users: Vec<(usize, String, Kind)>,
}

impl Table {
    /// The columns that are named for items.
    fn item_columns(&self) -> Vec<(String, Kind)> {
        let title = self.title.iter().filter(|title| !title.is_empty());
        let of =
            |names: &[String], kind| names.iter().map(|n| (n.clone(), kind)).collect::<Vec<_>>();
        let mut columns: Vec<_> = title.map(|title| (title.clone(), Kind::Text)).collect();
        columns.extend(of(&self.item_text, Kind::Text));
        columns.extend(of(&self.item_categories, Kind::Categories));
        columns.extend(of(&self.item_numbers, Kind::Number));
        columns
    }

    /// The columns that are named for users.
    fn user_columns(&self) -> Vec<(String, Kind)> {
        let categories = self.user_categories.iter().map(|name| (name.clone(), Kind::Categories));
        let numbers = self.user_numbers.iter().map(|name| (name.clone(), Kind::Number));
        categories.chain(numbers).collect()
    }

    /// Finds all columns of the table of interactions.
    fn columns_of(&self, file: &TableFile, notes: &mut Vec<String>) -> Result<Places> {
        let columns = file.columns();
        let mut find = |given: &Option<String>, role: &Role| -> Result<Option<usize>> {
            let place = role.find(&self.path, columns, given.as_deref())?;
            if let (Some(place), None) = (place, given) {
                notes.push(format!("{} guessed to be the column {:?}", role.key, columns[place]));
            }
            Ok(place)
        };
        let user = find(&self.user, &USER)?;
        let item = find(&self.item, &ITEM)?;
        let how = |role: &Role| {
            let key = role.key;
            format!("with {key} = \"…\", or name the columns if the file has no header")
        };
        let missing = |role: &Role| role.missing(&self.path, columns, &how(role));
        let user = user.ok_or_else(|| missing(&USER))?;
        let item = item.ok_or_else(|| missing(&ITEM))?;
        let (time, value) = (find(&self.time, &TIME)?, find(&self.value, &VALUE)?);
        let mut items = match &self.items {
            None => self.places(columns, self.item_columns())?,
            Some(_) => Vec::new(),
        };
        if self.items.is_none()
            && self.title.is_none()
            && let Some(title) = find(&None, &TITLE)?
        {
            items.insert(0, (title, columns[title].clone(), Kind::Text));
        }
        let users = match &self.users {
            None => self.places(columns, self.user_columns())?,
            Some(_) => Vec::new(),
        };
        let (user_name, item_name) = (columns[user].clone(), columns[item].clone());
        Ok(Places { user, user_name, item, item_name, time, value, items, users })
    }

    /// The places of named columns.
    fn places(
        &self,
        columns: &[String],
        named: Vec<(String, Kind)>,
    ) -> Result<Vec<(usize, String, Kind)>> {
        let places = named.into_iter().map(|(name, kind)| {
            require(&self.path, columns, &name).map(|place| (place, name, kind))
        });
        places.collect()
    }

    fn read_interactions(&self, file: TableFile, places: &Places, raw: &mut RawData) -> Result<()> {
        let names = |places: &[(usize, String, Kind)]| {
            Attributes::new(places.iter().map(|(_, name, kind)| (name.as_str(), *kind)))
        };
        let (mut items, mut users) = (names(&places.items), names(&places.users));
        let mut wanted = vec![places.user, places.item];
        wanted.extend(places.time.iter().chain(&places.value));
        let first_item = wanted.len();
        wanted.extend(places.items.iter().map(|(place, ..)| place));
        let first_user = wanted.len();
        wanted.extend(places.users.iter().map(|(place, ..)| place));
        let mut times = places.time.map(|_| Vec::new());
        let mut values = places.value.map(|_| Vec::new());
        let columns = file.columns().to_vec();
        let name = |place: usize| columns[place].as_str();
        file.for_each(&wanted, |cells| {
            let user = raw.users.intern(&cells[0].required(name(places.user), "an id")?);
            let item = raw.items.intern(&cells[1].required(name(places.item), "an id")?);
            raw.push(user, item);
            let mut next = 2;
            if let (Some(times), Some(column)) = (&mut times, places.time) {
                times.push(time(&cells[next], name(column))?);
                next += 1;
            }
            if let (Some(values), Some(column)) = (&mut values, places.value) {
                let value = cells[next].required(name(column), "a number")?;
                values.push(finite32(name(column), &value)?);
            }
            self.set(&mut items, item, &places.items, &cells[first_item..first_user])?;
            self.set(&mut users, user, &places.users, &cells[first_user..])
        })?;
        (raw.times, raw.values) = (times, values);
        if !places.items.is_empty() {
            let attributes = items.finish(raw.items.len());
            let title = places.items.first().map(|(_, name, _)| name.clone());
            raw.catalog = Catalog::new(attributes, self.title_name(title).as_deref());
        }
        raw.people = self.people(users, raw.users.len());
        Ok(())
    }

    /// The name of the title column: the given one, else `guess` where it is called like one.
    fn title_name(&self, guess: Option<String>) -> Option<String> {
        match &self.title {
            Some(title) if title.is_empty() => None,
            Some(title) => Some(title.clone()),
            None => guess.filter(|name| is_title(name) || TITLE.names.contains(&&*plain(name))),
        }
    }

    /// Sets the attributes of `row` unless there are some already.
    fn set(
        &self,
        attributes: &mut Attributes,
        row: u32,
        places: &[(usize, String, Kind)],
        cells: &[Cell<'_>],
    ) -> std::result::Result<(), String> {
        if places.is_empty() || !attributes.begin(row) {
            return Ok(());
        }
        let separator = self.category_separator.as_deref().unwrap_or("|");
        for (column, ((_, name, kind), cell)) in places.iter().zip(cells).enumerate() {
            match (kind, cell) {
                (_, Cell::Missing) => {}
                (Kind::Categories, Cell::List(texts)) => {
                    attributes.categories(row, column, texts.iter().map(String::as_str));
                }
                (Kind::Categories, cell) => {
                    let text = cell.text().unwrap_or_default();
                    if separator.is_empty() {
                        attributes.categories(row, column, [&*text]);
                    } else {
                        attributes.categories(row, column, text.split(separator));
                    }
                }
                (Kind::Text, cell) => {
                    attributes.text(row, column, &cell.text().unwrap_or_default());
                }
                (Kind::Number, cell) => {
                    let number = finite(name, &cell.text().unwrap_or_default())?;
                    attributes.number(row, column, number);
                }
            }
        }
        Ok(())
    }

    /// Reads a table about items or users.
    fn side_table(
        &self,
        path: &Path,
        (key, role): (&str, &Role),
        named: &[(String, Kind)],
        number: impl Fn(&str) -> Option<u32>,
    ) -> Result<(Attributes, usize)> {
        let file = TableFile::open(path, &Layout { delimiter: self.delimiter, columns: None })?;
        let columns = file.columns().to_vec();
        let key = match columns.iter().position(|column| column == key) {
            Some(place) => place,
            // The other table may call it otherwise; the error names what this one was called.
            None => match role.find(path, &columns, None)? {
                Some(place) => place,
                None => require(path, &columns, key)?,
            },
        };
        let mut places = Vec::new();
        if named.is_empty() {
            for (place, name) in columns.iter().enumerate().filter(|(place, _)| *place != key) {
                let kind = if is_prose(name) { Kind::Text } else { Kind::Categories };
                places.push((place, name.clone(), kind));
            }
        } else {
            for (name, kind) in named {
                places.push((require(path, &columns, name)?, name.clone(), *kind));
            }
        }
        let mut attributes = Attributes::new(places.iter().map(|(_, name, kind)| (&**name, *kind)));
        let wanted: Vec<usize> =
            std::iter::once(key).chain(places.iter().map(|(place, ..)| *place)).collect();
        let mut unknown = 0;
        file.for_each(&wanted, |cells| {
            match number(&cells[0].required(&columns[key], "an id")?) {
                Some(row) => self.set(&mut attributes, row, &places, &cells[1..]),
                None => {
                    unknown += 1;
                    Ok(())
                }
            }
        })?;
        Ok((attributes, unknown))
    }

    fn finish_items(&self, path: &Path, attributes: Attributes, unknown: usize, raw: &mut RawData) {
        raw.notes.extend(left_out(path, unknown, attributes.repeated(), "items"));
        let attributes = attributes.finish(raw.items.len());
        let guess = super::title_of(&attributes);
        raw.catalog = Catalog::new(attributes, self.title_name(guess).as_deref());
    }

    fn people(&self, attributes: Attributes, n_users: usize) -> UserAttributes {
        let people = attributes.finish(n_users).into_iter().map(|attribute| {
            let sensitive =
                is_sensitive(&attribute.name) || self.sensitive.contains(&attribute.name);
            UserAttribute { attribute, sensitive }
        });
        UserAttributes::new(people.collect())
    }
}

/// The time in a cell.
fn time(cell: &Cell<'_>, column: &str) -> std::result::Result<f64, String> {
    match cell {
        Cell::Seconds(seconds) => Ok(*seconds),
        cell => times::parse(column, &cell.required(column, "a time")?),
    }
}

/// Whether the usual names of user and item are among `columns`.
pub(crate) fn is_interactions(columns: &[String]) -> bool {
    [USER, ITEM].iter().all(|role| role.usual(columns).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemId;

    fn read_as(name: &str, text: &str, table: Table) -> Result<RawData> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        fs_err::write(
            folder.path().join("items.tsv"),
            "ItemID\tname\tkind\nb\t\"Lone quote\tx|y\nq\tNobody\tz\n",
        )
        .unwrap();
        let items = table.items.map(|items| folder.path().join(items));
        Table { path, items, ..table }.read()
    }

    #[test]
    fn the_usual_names_are_guessed_and_the_guess_is_said() {
        let text =
            "\u{feff}UserID,Item-Id,Rating,Date,Title\r\n1,a,4.5,2016-08-08 00:50:22,\"A, B\"\r\n";
        let raw = read_as("t.csv", text, Table::default()).unwrap();
        assert_eq!(raw.times, Some(vec![1_470_617_422.0]));
        assert_eq!(raw.catalog.title(ItemId(0)), Some("A, B"));
        assert_eq!(raw.notes.len(), 5, "{:?}", raw.notes);
        assert_eq!(raw.notes[1], "item guessed to be the column \"Item-Id\"");
    }

    #[test]
    fn named_columns_lists_and_a_table_of_items_are_read() {
        let text = "{\"who\": 1, \"what\": \"b\", \"job\": \"x\"}\n{\"who\": 2, \"what\": \"c\"}\n";
        let table = Table {
            user: Some("who".into()),
            item: Some("what".into()),
            items: Some("items.tsv".into()),
            user_categories: vec!["job".into()],
            sensitive: vec!["job".into()],
            ..Table::default()
        };
        let raw = read_as("t.jsonl", text, table).unwrap();
        assert_eq!(raw.catalog.text(ItemId(0)), "\"Lone quote x, y");
        assert!(raw.people.attribute("job").unwrap().sensitive);
        assert_eq!(raw.users.iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn a_file_without_header_is_read_with_named_columns() {
        let columns = ["user", "item", "rating", "timestamp"].map(str::to_owned).to_vec();
        let table = Table { columns: Some(columns), ..Table::default() };
        let raw = read_as("u.txt", "196\t242\t3\t881250949\n", table).unwrap();
        assert_eq!((raw.len(), raw.values), (1, Some(vec![3.0])));
    }

    #[test]
    fn malformed_tables_are_named_with_line_found_and_expected() {
        let named = |user: &str| Table { user: Some(user.into()), ..Table::default() };
        for (text, table, expected) in [
            ("", Table::default(), "t.csv: is empty, expected a header"),
            ("user,item\n", Table::default(), "has a header and no rows"),
            (
                "user,item\n1\n",
                Table::default(),
                "line 2: has 1 fields, expected 2 separated by ','",
            ),
            ("user,item\n,a\n", Table::default(), "line 2: user is empty, expected an id"),
            (
                "user,item,rating\n1,a,x\n",
                Table::default(),
                "line 2: rating is \"x\", expected a number",
            ),
            (
                "user,item,time\n1,a,NaN\n",
                Table::default(),
                "line 2: time is \"NaN\", expected a finite",
            ),
            ("user,item\n1,a\n", named("usr"), "expected also usr; did you mean \"user\"?"),
            (
                "a,b\n1,2\n",
                Table::default(),
                "has the columns a, b, of which none is called like the user",
            ),
        ] {
            let error = read_as("t.csv", text, table).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
