//! What other tools foretold or wrote, beside what came: files that are read.
//!
//! Formats are those of tables: CSV, TSV, JSON lines, Parquet.

use std::path::Path;

use crate::error::Result;
use crate::ids::{ItemId, UserId, Vocabulary};
use crate::reading::roles::{
    CITED, CLICK, EXPLANATION, FEATURE, FORETOLD, IMPRESSION, ITEM, RATED, REFERENCE, Role, USER,
    WRITTEN,
};
use crate::reading::table_file::{Cell, Layout, TableFile};

/// What the columns are called, where it is not the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerColumns {
    /// The column with what was foretold or written.
    pub prediction: Option<String>,
    /// The column with what came: the rating, the click, the right text.
    pub truth: Option<String>,
    /// The column that says which clicks were asked about together; "" for none.
    pub group: Option<String>,
    /// The column with the feature that a text should speak of; "" for none.
    pub feature: Option<String>,
}

/// Clicks that were asked about, each with its score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clicks {
    /// Score, and whether there was a click, in the order of the file.
    pub clicks: Vec<(f64, bool)>,
    /// What groups are called, and that of each click; `None` where no column says so.
    pub groups: Option<(String, Vec<u32>)>,
}

/// A text that was written, beside the right one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What was written; may be empty.
    pub text: String,
    /// What is right.
    pub reference: String,
    /// What it should speak of.
    pub feature: Option<String>,
}

/// Why an item was recommended to a user, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The user.
    pub user: UserId,
    /// The item.
    pub item: ItemId,
    /// What is said.
    pub text: String,
    /// The item that is said to be the reason, where a column says so.
    pub cited: Option<ItemId>,
}

/// Ratings as they were foretold and as they were given.
///
/// # Errors
/// With the line of what is no number.
pub fn read_ratings(path: &Path, columns: &AnswerColumns) -> Result<Vec<(f64, f64)>> {
    let table = Table::open(path, columns)?;
    let places = [table.must(&FORETOLD)?, table.must(&RATED)?];
    let mut ratings = Vec::new();
    table.for_each(&places, |cells, names| {
        ratings.push((cells[0].number(names[0])?, cells[1].number(names[1])?));
        Ok(())
    })?;
    Ok(ratings)
}

/// Clicks and misses with their scores.
///
/// # Errors
/// With the line of what is no number, or no 0 or 1.
pub fn read_clicks(path: &Path, columns: &AnswerColumns) -> Result<Clicks> {
    let table = Table::open(path, columns)?;
    let group = match table.find(&IMPRESSION)? {
        None if columns.group.is_none() => USER.usual(table.file.columns()),
        found => found,
    };
    let name = group.map(|place| table.file.columns()[place].clone());
    let places = [Some(table.must(&FORETOLD)?), Some(table.must(&CLICK)?), group];
    let places: Vec<usize> = places.into_iter().flatten().collect();
    let (mut ids, mut groups, mut clicks) = (Vocabulary::default(), Vec::new(), Vec::new());
    table.for_each(&places, |cells, names| {
        let label = cells[1].number(names[1])?;
        let click = [0.0, 1.0].iter().position(|known| label.total_cmp(known).is_eq());
        let click =
            click.ok_or_else(|| format!("{} is {label}, expected 1 for a click or 0", names[1]))?;
        clicks.push((cells[0].number(names[0])?, click == 1));
        if let Some(cell) = cells.get(2) {
            groups.push(ids.intern(&cell.required(names[2], "an id")?));
        }
        Ok(())
    })?;
    Ok(Clicks { clicks, groups: name.map(|name| (name, groups)) })
}

/// Texts that were written, with the right ones.
///
/// # Errors
/// With the line where there is no right text.
pub fn read_written(path: &Path, columns: &AnswerColumns) -> Result<Vec<Written>> {
    let table = Table::open(path, columns)?;
    let places =
        [Some(table.must(&WRITTEN)?), Some(table.must(&REFERENCE)?), table.find(&FEATURE)?];
    let places: Vec<usize> = places.into_iter().flatten().collect();
    let mut written = Vec::new();
    table.for_each(&places, |cells, names| {
        written.push(Written {
            text: cells[0].text().unwrap_or_default().into_owned(),
            reference: cells[1].required(names[1], "the right text")?.into_owned(),
            feature: cells.get(2).and_then(Cell::text).map(std::borrow::Cow::into_owned),
        });
        Ok(())
    })?;
    Ok(written)
}

/// Explanations of what was recommended: user, item, what is said, and what is cited as the reason, if a
/// column is called so.
///
/// # Errors
/// With the line of an id that is none of `users` or `items`.
pub fn read_explanations(
    path: &Path,
    users: &Vocabulary,
    items: &Vocabulary,
) -> Result<Vec<Explained>> {
    let columns = AnswerColumns::default();
    let table = Table::open(path, &columns)?;
    let must = |role: &Role| {
        let columns = table.file.columns();
        role.usual(columns).ok_or_else(|| role.missing(path, columns, "by calling it so"))
    };
    let places =
        [Some(must(&USER)?), Some(must(&ITEM)?), Some(must(&EXPLANATION)?), table.find(&CITED)?];
    let places: Vec<usize> = places.into_iter().flatten().collect();
    let mut explained = Vec::new();
    table.for_each(&places, |cells, names| {
        let known = |ids: &Vocabulary, place: usize| {
            let id = cells[place].required(names[place], "an id")?;
            let hint = || crate::suggest::hint(&id, ids.iter());
            ids.get(&id)
                .ok_or_else(|| format!("{} {id:?} is not in the data{}", names[place], hint()))
        };
        let cited = cells.get(3).and_then(Cell::text).is_some_and(|id| !id.is_empty());
        explained.push(Explained {
            user: UserId(known(users, 0)?),
            item: ItemId(known(items, 1)?),
            text: cells[2].text().unwrap_or_default().into_owned(),
            cited: if cited { Some(ItemId(known(items, 3)?)) } else { None },
        });
        Ok(())
    })?;
    Ok(explained)
}

/// A file whose columns have roles.
struct Table<'a> {
    path: &'a Path,
    columns: &'a AnswerColumns,
    file: TableFile,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, columns: &'a AnswerColumns) -> Result<Self> {
        Ok(Self { path, columns, file: TableFile::open(path, &Layout::default())? })
    }

    fn find(&self, role: &Role) -> Result<Option<usize>> {
        let AnswerColumns { prediction, truth, group, feature } = self.columns;
        let given = match role.key {
            "prediction" => prediction,
            "truth" => truth,
            "group" => group,
            _ => feature,
        };
        role.find(self.path, self.file.columns(), given.as_deref())
    }

    fn must(&self, role: &Role) -> Result<usize> {
        let how = format!("(--{}-column on the command line)", role.key);
        let missing = || role.missing(self.path, self.file.columns(), &how);
        self.find(role)?.ok_or_else(missing)
    }

    /// Calls `visit` with the cells at `places` of each row, and their names.
    fn for_each(
        self,
        places: &[usize],
        mut visit: impl FnMut(&[Cell<'_>], &[&str]) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let columns = self.file.columns().to_vec();
        let names: Vec<&str> = places.iter().map(|&place| &*columns[place]).collect();
        let mut n = 0_u64;
        self.file.for_each(places, |cells| {
            n += 1;
            visit(cells, &names)
        })?;
        if n == 0 {
            return Err(crate::Error::file(self.path, "has no rows, expected one or more"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        (folder, path)
    }

    fn usual() -> AnswerColumns {
        AnswerColumns::default()
    }

    #[test]
    fn columns_are_found_by_what_they_are_usually_called() {
        let (_folder, path) = file("a.csv", "user,item,r_ui,est\nu,i,4,3.5\nu,j,1,2\n");
        assert_eq!(read_ratings(&path, &usual()).unwrap(), [(3.5, 4.0), (2.0, 1.0)]);

        let text =
            "impression_id\tuser\tscore\tclicked\nb\tu\t0.5\t1\na\tu\t0.25\t0\nb\tu\t-1\t0\n";
        let (_folder, path) = file("a.tsv", text);
        let clicks = read_clicks(&path, &usual()).unwrap();
        assert_eq!(clicks.clicks, [(0.5, true), (0.25, false), (-1.0, false)]);
        assert_eq!(clicks.groups, Some(("impression_id".to_owned(), vec![0, 1, 0])));
        let none = AnswerColumns { group: Some(String::new()), ..usual() };
        assert_eq!(read_clicks(&path, &none).unwrap().groups, None);

        let lines = concat!(
            r#"{"generated": "good sound", "reference": "great sound", "feature": "sound"}"#,
            "\n",
            r#"{"generated": "", "reference": "fine"}"#,
        );
        let (_folder, path) = file("a.jsonl", lines);
        let written = read_written(&path, &usual()).unwrap();
        assert_eq!(written[0].feature.as_deref(), Some("sound"));
        assert_eq!((&*written[1].text, &*written[1].reference), ("", "fine"));
        assert_eq!(written[1].feature, None);
    }

    #[test]
    fn explanations_are_of_known_users_and_items() {
        let users: Vocabulary = ["ann", "bob"].into_iter().map(str::to_owned).collect();
        let items: Vocabulary = ["tea", "rum"].into_iter().map(str::to_owned).collect();
        let read = |text: &str| {
            let (_folder, path) = file("a.csv", text);
            read_explanations(&path, &users, &items)
        };
        let all = read("user,item,reason,text\nbob,tea,rum,both warm\nann,rum,,\n").unwrap();
        let both = |of: &Explained| (of.user.0, of.item.0, of.cited.map(|item| item.0));
        assert_eq!(all.iter().map(both).collect::<Vec<_>>(), [(1, 0, Some(1)), (0, 1, None)]);
        assert_eq!((&*all[0].text, &*all[1].text), ("both warm", ""));
        let error = read("user,item,text\nbo,tea,warm\n").unwrap_err().to_string();
        assert!(error.contains("line 2: user \"bo\" is not in the data"), "{error}");
        assert!(error.contains("did you mean \"bob\"?"), "{error}");
        let error = read("user,text\nbob,warm\n").unwrap_err().to_string();
        assert!(error.contains("none is called like the item"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let says = |result: Result<()>, expected: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error} and not {expected}");
        };
        let (_folder, path) = file("a.csv", "score,click\n0.5,1\n0.5,2\n");
        let clicks = || read_clicks(&path, &usual()).map(|_| ());
        says(clicks(), "a.csv, line 3: click is 2, expected 1 for a click or 0");
        says(read_ratings(&path, &usual()).map(|_| ()), "none is called like the truth");
        let columns = AnswerColumns { truth: Some("clik".to_owned()), ..usual() };
        says(read_clicks(&path, &columns).map(|_| ()), "did you mean \"click\"?");
        let (_folder, path) = file("a.csv", "score,click\n");
        says(read_clicks(&path, &usual()).map(|_| ()), "has no rows");
        let (_folder, path) = file("a.csv", "text,reference\nfine,\n");
        says(read_written(&path, &usual()).map(|_| ()), "a.csv, line 2: reference is empty");
    }
}
