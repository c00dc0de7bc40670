//! Lists of candidates: among which items each user's targets are to be ranked.

use std::path::Path;

use super::rows::Rows;
use super::{Columns, Items, Lists, Order, read_lists};
use crate::error::{Error, Result};
use crate::ids::{ItemId, Vocabulary};
use crate::reading::files;
use crate::reading::lines::{Encoding, Lines, quoted};

/// The candidates in the file at `path` of those who are among `users`; those of others are left out.
///
/// A line is a user, a tabulator and the items with blanks between them, as `LLMRank` publishes them, or the
/// file is any that [`read_lists`] reads. Candidates are in the order of the file.
///
/// # Errors
/// With the line of what is no item of `items`, of an item twice in a list and of a user's second list; that
/// the file has no list of any of the users.
pub fn read_candidates(path: &Path, users: &Vocabulary, items: &Vocabulary) -> Result<Lists> {
    let lists = if is_of_lines(path)? {
        read_lines(path, users, items)?
    } else {
        read_lists(path, &Columns::default(), users, Items::Catalog(items))?
    };
    if lists.lengths().all(|length| length == 0) {
        let problem = format!(
            "has no candidates of any of the {} users, but lists of {} others",
            users.len(),
            lists.unknown_users()
        );
        return Err(Error::file(path, problem));
    }
    Ok(lists)
}

/// Whether a line is a whole list.
fn is_of_lines(path: &Path) -> Result<bool> {
    if files::has_extension(path, "parquet") {
        return Ok(false);
    }
    let mut lines = Lines::open(path, Encoding::Utf8)?;
    let first = lines.next_filled()?;
    let items = first.and_then(|line| line.text.split_once('\t'));
    Ok(items.is_some_and(|(_, items)| items.trim().contains(' ') && !items.contains('\t')))
}

fn read_lines(path: &Path, users: &Vocabulary, items: &Vocabulary) -> Result<Lists> {
    let mut lines = Lines::open(path, Encoding::Utf8)?;
    let (mut rows, mut unknown) = (Rows::default(), 0);
    let mut catalog = Items::Catalog(items);
    // The line of the list that an item stood in last, and whose list stands in which line.
    let mut last = vec![0; items.len()];
    let mut places = vec![0; users.len()];
    while let Some(line) = lines.next_filled()? {
        let Some((id, listed)) = line.text.split_once('\t') else {
            let expected = "a user, a tabulator and items with blanks between them";
            return Err(line.problem(format!("is {}, expected {expected}", quoted(line.text))));
        };
        let Some(user) = users.get(id) else {
            unknown += 1;
            continue;
        };
        let first = std::mem::replace(&mut places[user as usize], line.number);
        if first > 0 {
            let problem = format!("user {} has a list in line {first} already", quoted(id));
            return Err(line.problem(problem));
        }
        for item in listed.split_ascii_whitespace() {
            let number: ItemId = catalog.number(item).map_err(|problem| line.problem(problem))?;
            if std::mem::replace(&mut last[number.index()], line.number) == line.number {
                let problem = format!("has item {} twice, expected once", quoted(item));
                return Err(line.problem(problem));
            }
            rows.push(user, number, None).map_err(|problem| line.problem(problem))?;
        }
    }
    let lists = rows.group(users.len(), Order::File).expect("no item stands twice in a list");
    Ok(Lists { unknown_users: unknown, ..lists })
}
