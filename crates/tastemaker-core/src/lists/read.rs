//! Reads lists, and what is relevant.

use std::path::Path;

use super::rows::Rows;
use super::trec::{self, Format};
use super::{Lists, Order};
use crate::error::{Error, Result};
use crate::ids::{ItemId, Vocabulary};
use crate::reading::lines::quoted;
use crate::reading::roles::{DOCUMENT, ITEM, QUERY, RANK, RELEVANCE, Role, SCORE, USER};
use crate::reading::table_file::{Cell, Layout, TableFile};

/// What the columns of a table are called, where it is not the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The column with the user, of lists and, where it has one that is called so, of what is relevant.
    pub user: Option<String>,
    /// The column with the item, likewise.
    pub item: Option<String>,
    /// The column with the rank; "" for none, so that the score decides.
    pub rank: Option<String>,
    /// The column with the score; "" for none.
    pub score: Option<String>,
    /// The column with the relevance of an item that is to be foretold; "" for none, where all are
    /// relevant.
    pub relevance: Option<String>,
    /// What stands between two fields of lists, where it is not told by the file.
    pub delimiter: Option<char>,
}

/// The items that lists can name.
#[derive(Debug)]
pub enum Items<'a> {
    /// Those of a catalog.
    Catalog(&'a Vocabulary),
    /// Any; new ones are given numbers.
    Any(&'a mut Vocabulary),
}

/// What is relevant.
#[derive(Clone, Debug, PartialEq)]
pub struct Relevant {
    /// Users with anything that is relevant.
    pub users: Vocabulary,
    /// The items that are named.
    pub items: Vocabulary,
    /// The relevant items of each user.
    pub lists: Lists,
}

/// The lists in the file at `path` of those who are among `users`; those of others are left out.
///
/// # Errors
/// With the line of what is no number, no item of the catalog, or an item twice in a list.
pub fn read_lists(
    path: &Path,
    columns: &Columns,
    users: &Vocabulary,
    mut items: Items<'_>,
) -> Result<Lists> {
    let table = Table::open(path, columns, trec::RUN)?;
    let (rank, score) = (table.find(&RANK)?, table.find(&SCORE)?);
    let named = |column: usize| table.names[column].clone();
    let (key, sign, order) = match (rank, score) {
        (Some(rank), _) => (Some(rank), -1.0, Order::Rank(named(rank))),
        (None, Some(score)) => (Some(score), 1.0, Order::Score(named(score))),
        (None, None) => (None, 1.0, Order::File),
    };
    let (mut rows, mut unknown) = (Rows::default(), Vocabulary::default());
    let mut last = Last::default();
    let places = table.places(key)?;
    table.for_each(&places, |user, item, key| {
        let key = key.map(|(cell, name)| cell.number(name)).transpose()?.map(|key| sign * key);
        let known = last.number(user, |user| {
            let known = users.get(user);
            if known.is_none() {
                unknown.intern(user);
            }
            known
        });
        match known {
            Some(user) => rows.push(user, items.number(item)?, key),
            None => Ok(()),
        }
    })?;
    let lists = rows.group(users.len(), order);
    let lists = lists.map_err(|(user, item)| {
        let user = users.id(user as usize).unwrap_or_default();
        Table::repeated(path, columns, trec::RUN, user, items.id(item))
    })?;
    Ok(Lists { unknown_users: unknown.len(), ..lists })
}

/// What the file at `path` says is relevant: everything, or what has a relevance above 0.
pub fn read_relevant(path: &Path, columns: &Columns) -> Result<Relevant> {
    let table = Table::open(path, columns, trec::QRELS)?;
    let relevance = table.find(&RELEVANCE)?;
    let (mut rows, mut last) = (Rows::default(), Last::default());
    let (mut users, mut items) = (Vocabulary::default(), Vocabulary::default());
    let places = table.places(relevance)?;
    table.for_each(&places, |user, item, relevance| {
        let relevance = relevance.map(|(cell, name)| cell.number(name)).transpose()?;
        if relevance.is_some_and(|relevance| relevance <= 0.0) {
            return Ok(());
        }
        let user = last.number(user, |user| Some(users.intern(user))).unwrap_or_default();
        rows.push(user, ItemId(items.intern(item)), None)
    })?;
    if users.is_empty() {
        return Err(Error::file(
            path,
            "names nothing that is relevant, expected some for some users",
        ));
    }
    let lists = rows.group(users.len(), Order::File).map_err(|(user, item)| {
        let user = users.id(user as usize).unwrap_or_default();
        let item = items.id(item.index()).unwrap_or_default();
        Table::repeated(path, columns, trec::QRELS, user, item)
    })?;
    Ok(Relevant { users, items, lists })
}

impl Items<'_> {
    /// The number of an item.
    ///
    /// # Errors
    /// That it is not in the catalog.
    pub(super) fn number(&mut self, id: &str) -> std::result::Result<ItemId, String> {
        match self {
            Self::Any(items) => Ok(ItemId(items.intern(id))),
            Self::Catalog(items) => items.get(id).map(ItemId).ok_or_else(|| {
                let hint = crate::suggest::hint(id, items.iter());
                format!("item is {}, which is not in the catalog{hint}", quoted(id))
            }),
        }
    }

    fn id(&self, item: ItemId) -> &str {
        let items = match self {
            Self::Any(items) => items,
            Self::Catalog(items) => *items,
        };
        items.id(item.index()).unwrap_or_default()
    }
}

/// The user of the row before, who is mostly that of the next.
#[derive(Default)]
struct Last {
    id: String,
    number: Option<u32>,
}

impl Last {
    fn number(&mut self, id: &str, look: impl FnOnce(&str) -> Option<u32>) -> Option<u32> {
        if self.id != id {
            self.number = look(id);
            self.id.clear();
            self.id.push_str(id);
        }
        self.number
    }
}

/// A file with a user and an item in each row.
struct Table<'a> {
    path: &'a Path,
    columns: &'a Columns,
    /// Whether it says what is relevant: it may call user and item otherwise than the lists do.
    relevant: bool,
    names: Vec<String>,
    rows: Kind,
}

enum Kind {
    Trec(Format),
    Table(Box<TableFile>),
}

impl<'a> Table<'a> {
    /// A table, where columns are named or it is none of `format`.
    fn open(path: &'a Path, columns: &'a Columns, format: Format) -> Result<Self> {
        let Columns { user, item, rank, score, relevance, delimiter } = columns;
        let relevant = format.names == trec::QRELS.names;
        let named = if relevant { vec![relevance] } else { vec![user, item, rank, score] };
        let named = named.into_iter().flatten().any(|name| !name.is_empty());
        let named = named || !relevant && delimiter.is_some();
        if !named && format.is(path)? {
            let names = format.names.iter().map(|&name| name.to_owned()).collect();
            return Ok(Self { path, columns, relevant, names, rows: Kind::Trec(format) });
        }
        let delimiter = if relevant { None } else { *delimiter };
        let file = TableFile::open(path, &Layout { delimiter, columns: None })?;
        let names = file.columns().to_vec();
        Ok(Self { path, columns, relevant, names, rows: Kind::Table(Box::new(file)) })
    }

    /// Where the column of a role stands, if there is one.
    fn find(&self, role: &Role) -> Result<Option<usize>> {
        let Columns { user, item, rank, score, relevance, .. } = self.columns;
        let given = match role.key {
            "user" => user,
            "item" => item,
            "rank" => rank,
            "score" => score,
            _ => relevance,
        };
        let here = |name: &&str| {
            let other = self.relevant && role.key != RELEVANCE.key;
            !other || self.names.iter().any(|known| known == name)
        };
        role.find(self.path, &self.names, given.as_deref().filter(here))
    }

    /// Where user, item and perhaps another column stand.
    fn places(&self, other: Option<usize>) -> Result<Vec<usize>> {
        let place = |roles: [&Role; 2]| -> Result<usize> {
            for role in roles {
                if let Some(place) = self.find(role)? {
                    return Ok(place);
                }
            }
            let how = format!("(--{}-column on the command line)", roles[0].key);
            Err(roles[0].missing(self.path, &self.names, &how))
        };
        let (user, item) = (place([&USER, &QUERY])?, place([&ITEM, &DOCUMENT])?);
        Ok([user, item].into_iter().chain(other).collect())
    }

    /// Calls `visit` with user, item and the other column of each row, with its name.
    fn for_each(
        self,
        places: &[usize],
        mut visit: impl FnMut(&str, &str, Option<(&Cell<'_>, &str)>) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let names: Vec<&str> = places.iter().map(|&place| &*self.names[place]).collect();
        let row = |cells: &[Cell<'_>]| {
            let user = cells[0].required(names[0], "an id")?;
            let item = cells[1].required(names[1], "an id")?;
            visit(&user, &item, cells.get(2).map(|cell| (cell, names[2])))
        };
        match self.rows {
            Kind::Trec(format) => format.for_each(self.path, places, row),
            Kind::Table(file) => file.for_each(places, row),
        }
    }

    /// What is wrong where `user` has `item` a second time: the file is read once more for its line.
    fn repeated(path: &Path, columns: &Columns, format: Format, user: &str, item: &str) -> Error {
        let mut before = false;
        let mut find = || {
            let table = Table::open(path, columns, format)?;
            let places = table.places(None)?;
            table.for_each(&places, |a, b, _| {
                if (a, b) == (user, item) && std::mem::replace(&mut before, true) {
                    let (user, item) = (quoted(user), quoted(item));
                    return Err(format!(
                        "user {user} has item {item} a second time, expected once"
                    ));
                }
                Ok(())
            })
        };
        let changed = || Error::file(path, "changed while it was read");
        find().err().unwrap_or_else(changed)
    }
}
