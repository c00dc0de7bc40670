//! Atomic files whose rows are histories with the next item.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recbole::id;
use super::{RawData, Source, left_out, title_of};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::reading::atomic::{AtomicFile, Type};
use crate::reading::files;
use crate::reading::lines::quoted;
use crate::reading::raw::Input;

const HISTORY: &str = "item_id_list";

/// Atomic files with rows of `user_id`, `item_id_list:token_seq` and the `item_id` that came
/// next, as RecBole writes them for sequential recommendation and `LLMRank` publishes them, one
/// file or several (training, validation, test), plain or compressed, with titles in `X.item`
/// where that is there.
///
/// Each user's sequence is put together again from all rows of the user: from the longest
/// history with its next item, to which every other row must belong. Rows of histories that were
/// cut to their last items are joined where they overlap by half of the shorter or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecboleSequences {
    /// The folder with the files, or one file.
    pub path: PathBuf,
}

/// A history with the next item, and where it stands.
struct Row {
    items: Vec<u32>,
    file: usize,
    line: u64,
}

impl Source for RecboleSequences {
    fn read(&self) -> Result<RawData> {
        let paths = self.files()?;
        let mut raw = RawData::new(files::data_set_name(&self.path), "RecBole sequence files");
        let mut rows: Vec<Vec<Row>> = Vec::new();
        for (file, path) in paths.iter().enumerate() {
            raw.inputs.push(Input::File(path.clone()));
            read_rows(path, file, &mut raw, &mut rows)?;
        }
        if rows.is_empty() {
            return Err(Error::file(&self.path, "has a header and no rows, expected histories"));
        }
        note_cut_histories(&rows, &mut raw);
        for (user, rows) in (0..).zip(&mut rows) {
            for item in join(std::mem::take(rows)).map_err(|(row, problem)| {
                let name = raw.users.id(user as usize).unwrap_or_default();
                let problem = format!("user {}: {problem}", quoted(name));
                Error::line(&paths[row.file], row.line, problem)
            })? {
                raw.push(user, item);
            }
        }
        self.read_items(&mut raw)?;
        Ok(raw)
    }
}

impl RecboleSequences {
    /// The files with histories.
    fn files(&self) -> Result<Vec<PathBuf>> {
        if !self.path.is_dir() {
            return Ok(vec![self.path.clone()]);
        }
        let all = files::list(&self.path)?;
        let mut found = Vec::new();
        for path in &all {
            let is_inter = files::has_extension(path, "inter");
            if is_inter && has_histories(path)? {
                found.push(path.clone());
            }
        }
        if found.is_empty() {
            let has = files::names(&all);
            let problem = format!("has {has}, expected a file X.inter with {HISTORY}:token_seq");
            return Err(Error::file(&self.path, problem));
        }
        Ok(found)
    }

    /// Reads titles and other attributes of the items: the only `.item` file of the folder.
    fn read_items(&self, raw: &mut RawData) -> Result<()> {
        let folder =
            if self.path.is_dir() { self.path.as_path() } else { files::folder_of(&self.path) };
        let mut items = files::list(folder)?;
        items.retain(|path| files::has_extension(path, "item"));
        let path = match items.as_slice() {
            [] => return Ok(()),
            [one] => one,
            many => {
                raw.notes.push(format!(
                    "several files with items ({}): none of them read",
                    files::names(many)
                ));
                return Ok(());
            }
        };
        raw.inputs.push(Input::File(path.clone()));
        let file = AtomicFile::open(path)?;
        let (attributes, unknown) = file.attributes("item_id", |id| raw.items.get(id))?;
        raw.notes.extend(left_out(path, unknown, attributes.repeated(), "items"));
        let attributes = attributes.finish(raw.items.len());
        let title = title_of(&attributes);
        raw.catalog = Catalog::new(attributes, title.as_deref());
        Ok(())
    }
}

/// Whether the header of an atomic file says that its rows are histories.
pub(crate) fn has_histories(path: &Path) -> Result<bool> {
    let file = AtomicFile::open(path)?;
    Ok(file.columns.iter().any(|column| column.name == HISTORY && column.r#type == Type::TokenSeq))
}

/// Reads the rows of one file to those of the users.
fn read_rows(
    path: &Path,
    number: usize,
    raw: &mut RawData,
    rows: &mut Vec<Vec<Row>>,
) -> Result<()> {
    let mut file = AtomicFile::open(path)?;
    let user = file.require("user_id")?;
    let (history, next) = (file.require(HISTORY)?, file.require("item_id")?);
    while let Some(row) = file.next()? {
        let user = raw.users.intern(id(&row, user, "user_id")?) as usize;
        let past = row.fields[history].split_ascii_whitespace();
        let mut items: Vec<u32> = past.map(|item| raw.items.intern(item)).collect();
        items.push(raw.items.intern(id(&row, next, "item_id")?));
        if user >= rows.len() {
            rows.resize_with(user + 1, Vec::new);
        }
        let line = row.line.number;
        // A row that continues the one before it replaces it: augmented files stay small.
        if let Some(last) = rows[user].last_mut()
            && items.starts_with(&last.items)
        {
            *last = Row { items, file: number, line };
        } else {
            rows[user].push(Row { items, file: number, line });
        }
    }
    Ok(())
}

/// Puts one user's rows together; an error is the row that does not belong and why.
fn join(mut rows: Vec<Row>) -> std::result::Result<Vec<u32>, (Row, String)> {
    rows.sort_by_key(|row| std::cmp::Reverse(row.items.len())); // stable: then as in the files
    let mut rows = rows.into_iter();
    let mut whole = rows.next().map(|row| row.items).unwrap_or_default();
    for row in rows {
        let part = &row.items;
        if whole.starts_with(part) || whole.windows(part.len()).any(|window| window == part) {
            continue;
        }
        let least = part.len().min(whole.len()).div_ceil(2);
        let longest = part.len().min(whole.len()) - 1;
        let after = (least..=longest).rev().find(|&n| whole.ends_with(&part[..n]));
        let before = (least..=longest).rev().find(|&n| part.ends_with(&whole[..n]));
        match (after, before) {
            (Some(n), _) => whole.extend_from_slice(&part[n..]),
            (None, Some(n)) => {
                let mut joined = part[..part.len() - n].to_vec();
                joined.append(&mut whole);
                whole = joined;
            }
            (None, None) => {
                let problem = format!(
                    "this history of {} items with its next item is no part of the user's \
                     longest one ({} items), expected all rows of a user to be parts of one \
                     sequence",
                    part.len() - 1,
                    whole.len()
                );
                return Err((row, problem));
            }
        }
    }
    Ok(whole)
}

/// Says so where many histories are exactly as long as the longest one: they were cut.
fn note_cut_histories(rows: &[Vec<Row>], raw: &mut RawData) {
    let lengths: Vec<usize> =
        rows.iter().filter_map(|rows| rows.iter().map(|row| row.items.len() - 1).max()).collect();
    let longest = lengths.iter().copied().max().unwrap_or_default();
    let of = |length: usize| lengths.iter().filter(|&&n| n == length).count();
    let (at, below) = (of(longest), of(longest.saturating_sub(1)));
    // A few percent of long histories end at the limit; without one the counts fall off.
    if at >= 10 && at > 3 * below.max(1) {
        raw.notes.push(format!(
            "{at} users have histories of exactly {longest} items, the longest in the files: they \
             were probably cut, and older interactions are missing"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemId;

    const HEADER: &str = "user_id:token\titem_id_list:token_seq\titem_id:token\n";

    fn read(files: &[(&str, String)]) -> Result<RawData> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        RecboleSequences { path: folder.path().to_owned() }.read()
    }

    fn names(raw: &RawData) -> String {
        let name = |item: &u32| raw.items.id(*item as usize).unwrap();
        raw.item.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_longest_history_with_its_next_item_is_the_sequence() {
        let raw = read(&[
            ("s.test.inter", format!("{HEADER}u\ta b c\td\nv\ta\tb\n")),
            ("s.valid.inter", format!("{HEADER}u\ta b\tc\n")),
            ("s.item", "item_id:token\ttitle:token_seq\nd\tThe Fourth\n".to_owned()),
        ])
        .unwrap();
        assert_eq!((names(&raw).as_str(), raw.user), ("a b c d a b", vec![0, 0, 0, 0, 1, 1]));
        assert_eq!(raw.catalog.title(ItemId(3)), Some("The Fourth"));
    }

    #[test]
    fn histories_that_were_cut_are_joined_where_they_overlap() {
        let test = format!("{HEADER}u\tc d e\tf\n");
        let valid = format!("{HEADER}u\tb c d\te\n");
        let train = format!("{HEADER}u\ta\tb\nu\ta b\tc\n");
        let files = [("s.test.inter", test), ("s.train.inter", train), ("s.valid.inter", valid)];
        assert_eq!(names(&read(&files).unwrap()), "a b c d e f");
    }

    #[test]
    fn histories_that_contradict_each_other_are_refused() {
        let error = read(&[("s.inter", format!("{HEADER}u\ta b c\td\nu\tc b\ta\n"))]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("s.inter, line 3: user \"u\": this history of 2 items"), "{error}");
    }
}
