//! One user a line: `user item item …`, oldest item first.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RawData, Source, left_out};
use crate::catalog::{Attribute, Catalog};
use crate::error::{Error, Result};
use crate::ids::Vocabulary;
use crate::reading::attributes::{Attributes, Kind};
use crate::reading::files;
use crate::reading::lines::{self, Encoding, Line, Lines, quoted};
use crate::reading::raw::Input;

/// Files with one user a line, the user first and then the items in order of time, separated by
/// spaces or tabs, plain or compressed.
///
/// S3-Rec's attribute file (`X_item2attributes.json` beside `X.txt`: item → list of attribute
/// ids) is read when it is there, and so is `IDGenRec`'s file of texts (`textual_ids.txt` beside
/// `user_sequence.txt`: an item a line, then its text), which becomes the attribute `text`.
///
/// # References
/// Zhou et al., S3-Rec, CIKM 2020, <https://github.com/RUCAIBox/CIKM2020-S3Rec>; Tan et al.,
/// `IDGenRec`, SIGIR 2024, <https://github.com/agiresearch/IDGenRec>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SequenceLines {
    /// The file.
    pub path: PathBuf,
    /// The attribute file, where it is not found by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<PathBuf>,
    /// The file with texts, where it is not found by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<PathBuf>,
}

impl SequenceLines {
    /// The file at `path` with what is found beside it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), attributes: None, texts: None }
    }
}

impl Source for SequenceLines {
    fn read(&self) -> Result<RawData> {
        let mut raw = RawData::new(
            files::data_set_name(&self.path),
            "one user a line, the items after it in order of time",
        );
        raw.inputs.push(Input::File(self.path.clone()));
        let mut lines = Lines::open(&self.path, Encoding::Utf8)?;
        while let Some(line) = lines.next_filled()? {
            read_line(&line, &mut raw)?;
        }
        if raw.is_empty() {
            return Err(Error::file(
                &self.path,
                "is empty, expected lines of a user and its items",
            ));
        }
        let mut attributes = Vec::new();
        if let Some(path) = self.attributes.clone().or_else(|| attributes_beside(&self.path)) {
            attributes.extend(read_attributes(&path, &raw.items)?);
            raw.inputs.push(Input::File(path));
        }
        if let Some(path) = self.texts.clone().or_else(|| texts_beside(&self.path)) {
            let (texts, unknown) = read_texts(&path, &raw.items)?;
            attributes.extend(texts);
            raw.notes.extend(left_out(&path, unknown, 0, "items"));
            raw.inputs.push(Input::File(path));
        }
        raw.catalog = Catalog::new(attributes, None);
        Ok(raw)
    }
}

/// Reads one user's line.
fn read_line(line: &Line<'_>, raw: &mut RawData) -> Result<()> {
    let mut fields = line.text.split_ascii_whitespace();
    let known = raw.users.len();
    let (Some(name), Some(first)) = (fields.next(), fields.next()) else {
        return Err(line.problem(format!(
            "is {}, expected a user and at least one item separated by spaces",
            quoted(line.text)
        )));
    };
    let user = raw.users.intern(name);
    if raw.users.len() == known {
        return Err(line.problem(format!(
            "user {} has a line already, expected one line a user",
            quoted(name)
        )));
    }
    for item in std::iter::once(first).chain(fields) {
        let item = raw.items.intern(item);
        raw.push(user, item);
    }
    Ok(())
}

/// The attribute file that S3-Rec puts beside `path`.
fn attributes_beside(path: &Path) -> Option<PathBuf> {
    let name = format!("{}_item2attributes.json", files::stem(path));
    files::find(files::folder_of(path), &name)
}

/// The file of texts that `IDGenRec` puts beside `path`.
fn texts_beside(path: &Path) -> Option<PathBuf> {
    let is_its_own = files::unpacked_name(path) == "user_sequence.txt";
    if is_its_own { files::find(files::folder_of(path), "textual_ids.txt") } else { None }
}

/// Reads item → attribute ids.
fn read_attributes(path: &Path, items: &Vocabulary) -> Result<Vec<Attribute>> {
    let mut attributes = Attributes::new([("attributes", Kind::Categories)]);
    let problem = |error: serde_json::Error| {
        let found = format!("{error}; expected {{\"item\": [attribute, …], …}}");
        if error.line() == 0 {
            Error::file(path, found)
        } else {
            Error::line(path, error.line() as u64, found)
        }
    };
    let reader = lines::open(path)?;
    let map: std::collections::BTreeMap<String, Vec<serde_json::Value>> =
        serde_json::from_reader(reader).map_err(problem)?;
    for (item, values) in &map {
        let Some(row) = items.get(item) else { continue };
        let names = values.iter().map(|value| match value {
            serde_json::Value::String(name) => Ok(name.clone()),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            other => Err(Error::file(
                path,
                format!(
                    "item {} has the attribute {other}, expected a number or a text",
                    quoted(item)
                ),
            )),
        });
        let names = names.collect::<Result<Vec<_>>>()?;
        attributes.begin(row);
        attributes.categories(row, 0, names.iter().map(String::as_str));
    }
    Ok(attributes.finish(items.len()))
}

/// Reads lines of an item and its text; also says how many are about items without interactions.
/// An item's text can be empty.
fn read_texts(path: &Path, items: &Vocabulary) -> Result<(Vec<Attribute>, usize)> {
    let mut texts = Attributes::new([("text", Kind::Text)]);
    let (mut lines, mut unknown) = (Lines::open(path, Encoding::Utf8)?, 0);
    while let Some(line) = lines.next_filled()? {
        let (item, text) = line.text.split_once([' ', '\t']).unwrap_or((line.text, ""));
        if item.is_empty() {
            let found = quoted(line.text);
            return Err(line.problem(format!("is {found}, expected an item and its text")));
        }
        let Some(row) = items.get(item) else {
            unknown += 1;
            continue;
        };
        if !texts.begin(row) {
            let (item, expected) = (quoted(item), "expected one line an item");
            return Err(line.problem(format!("item {item} has a line already, {expected}")));
        }
        texts.text(row, 0, text);
    }
    let texts = texts.finish(items.len());
    if texts.is_empty() {
        return Err(Error::file(
            path,
            "has no text of any item that is met, expected lines of an item and its text",
        ));
    }
    Ok((texts, unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RawData> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.txt");
        fs_err::write(&path, text).unwrap();
        fs_err::write(folder.path().join("small_item2attributes.json"), r#"{"a": [3, "x"]}"#)
            .unwrap();
        SequenceLines::at(path).read()
    }

    #[test]
    fn a_line_is_a_user_and_its_items_in_order() {
        let raw = read("u1 b a\r\nu2 a\n\n").unwrap();
        assert_eq!((raw.user, raw.item), (vec![0, 0, 1], vec![0, 1, 1]));
        assert_eq!(raw.items.iter().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(raw.catalog.attributes()[0].column.display(1).unwrap(), "3, x");
    }

    #[test]
    fn what_is_no_sequence_is_named_with_its_line() {
        for (text, expected) in [
            ("", "is empty"),
            ("\n  \n", "is empty"),
            ("u1 a\nu2\n", "line 2: is \"u2\", expected a user and at least one item"),
            ("u1 a\nu1 b\n", "line 2: user \"u1\" has a line already"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("small.txt"), "{error}");
        }
    }

    fn read_with_texts(texts: &[u8]) -> Result<RawData> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user_sequence.txt");
        fs_err::write(&path, "u1 b a\nu2 a c\n").unwrap();
        fs_err::write(folder.path().join("textual_ids.txt"), texts).unwrap();
        SequenceLines::at(path).read()
    }

    #[test]
    fn texts_beside_the_sequences_are_an_attribute() {
        let raw = read_with_texts(b"a red Nail polish \r\nz green soap\nb\n\nc\tsoap\n").unwrap();
        let text = raw.catalog.attribute("text").unwrap();
        let texts: Vec<_> = (0..3).map(|row| text.column.display(row)).collect();
        assert_eq!(texts, [None, Some("red Nail polish".to_owned()), Some("soap".to_owned())]);
        assert_eq!((raw.inputs.len(), raw.notes.len()), (2, 1));
        assert!(raw.notes[0].contains("1 rows of textual_ids.txt"), "{}", raw.notes[0]);
    }

    #[test]
    fn texts_that_are_none_are_named_with_their_line() {
        let cases: [(&[u8], &str); 4] = [
            (b"a red\n red soap\n", "line 2: is \" red soap\", expected an item and its text"),
            (b"a red\nb soap\na blue\n", "line 3: item \"a\" has a line already"),
            (b"a red\nb \xff\n", "line 2: byte 3 of the line is 0xff"),
            (b"x red\na\n", "has no text of any item that is met"),
        ];
        for (texts, expected) in cases {
            let error = read_with_texts(texts).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("textual_ids.txt"), "{error}");
        }
    }
}
