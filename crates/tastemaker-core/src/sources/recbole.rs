//! RecBole's atomic files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RawData, Source, left_out, title_of};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::graph::KnowledgeGraph;
use crate::ids::{ItemId, Vocabulary};
use crate::people::UserAttributes;
use crate::reading::atomic::{AtomicFile, Row};
use crate::reading::files;
use crate::reading::numbers::finite32;
use crate::reading::raw::Input;
use crate::reading::times;

/// A data set in RecBole's atomic files: `X.inter` with, where they are there, `X.item`,
/// `X.user`, `X.kg` and `X.link`, plain or compressed.
///
/// Columns of type `token` and `token_seq` become categories, but titles and descriptions (told
/// by the name) become text; `float` becomes a number; `float_seq` is checked and kept as
/// written.
///
/// # References
/// Zhao et al., RecBole, CIKM 2021, <https://recbole.io/docs/user_guide/data/atomic_files.html>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recbole {
    /// The folder with the files, or the `.inter` file itself.
    pub path: PathBuf,
    /// The column with the user, `user_id` unless it is said otherwise (RecBole's
    /// `USER_ID_FIELD`).
    #[serde(default = "user_id")]
    pub user: String,
    /// The column with the item, `item_id` unless it is said otherwise.
    #[serde(default = "item_id")]
    pub item: String,
    /// The column with the time, `timestamp` unless it is said otherwise.
    #[serde(default = "timestamp")]
    pub time: String,
    /// The column with the value, `rating` unless it is said otherwise.
    #[serde(default = "rating")]
    pub value: String,
}

fn user_id() -> String {
    "user_id".to_owned()
}

fn item_id() -> String {
    "item_id".to_owned()
}

fn timestamp() -> String {
    "timestamp".to_owned()
}

fn rating() -> String {
    "rating".to_owned()
}

impl Recbole {
    /// The data set at `path` with RecBole's own column names.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, user: user_id(), item: item_id(), time: timestamp(), value: rating() }
    }

    /// The `.inter` file: `path` itself or the only one in the folder.
    fn interactions(&self) -> Result<PathBuf> {
        if !self.path.is_dir() {
            return Ok(self.path.clone());
        }
        let all = files::list(&self.path)?;
        let mut found: Vec<PathBuf> = Vec::new();
        for path in &all {
            // Of a file and its compressed twin the plain one, which sorts first.
            let twin = found.iter().any(|known| files::stem(known) == files::stem(path));
            if files::has_extension(path, "inter") && !twin {
                found.push(path.clone());
            }
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Error::file(
                &self.path,
                format!("has {}, expected a file X.inter", files::names(&all)),
            )),
            many => Err(Error::file(
                &self.path,
                format!("has {}, expected one file X.inter: name one of them", files::names(many)),
            )),
        }
    }
}

impl Source for Recbole {
    fn read(&self) -> Result<RawData> {
        let path = self.interactions()?;
        let mut raw = self.read_interactions(&path)?;
        let side = |extension: &str| {
            files::find(files::folder_of(&path), &format!("{}.{extension}", files::stem(&path)))
        };
        if let Some(path) = side("item") {
            raw.inputs.push(Input::File(path.clone()));
            let file = AtomicFile::open(&path)?;
            let (attributes, unknown) = file.attributes(&self.item, |id| raw.items.get(id))?;
            raw.notes.extend(left_out(&path, unknown, attributes.repeated(), "items"));
            let attributes = attributes.finish(raw.items.len());
            let title = title_of(&attributes);
            raw.catalog = Catalog::new(attributes, title.as_deref());
        }
        if let Some(path) = side("user") {
            raw.inputs.push(Input::File(path.clone()));
            let file = AtomicFile::open(&path)?;
            let (attributes, unknown) = file.attributes(&self.user, |id| raw.users.get(id))?;
            raw.notes.extend(left_out(&path, unknown, attributes.repeated(), "users"));
            raw.people = UserAttributes::new(attributes.finish_people(raw.users.len()));
        }
        if let Some(triples) = side("kg") {
            let links = side("link");
            raw.inputs.push(Input::File(triples.clone()));
            raw.inputs.extend(links.clone().map(Input::File));
            raw.graph = Some(read_graph(&triples, links.as_deref(), &self.item, &raw.items)?);
        }
        Ok(raw)
    }
}

impl Recbole {
    /// Reads the `.inter` file.
    fn read_interactions(&self, path: &Path) -> Result<RawData> {
        let mut file = AtomicFile::open(path)?;
        let (user, item) = (file.require(&self.user)?, file.require(&self.item)?);
        let (time, value) = (file.position(&self.time), file.position(&self.value));
        let mut raw = RawData::new(files::stem(path), "RecBole atomic files");
        raw.inputs.push(Input::File(path.to_owned()));
        raw.times = time.map(|_| Vec::new());
        raw.values = value.map(|_| Vec::new());
        while let Some(row) = file.next()? {
            let user = raw.users.intern(id(&row, user, &self.user)?);
            let item = raw.items.intern(id(&row, item, &self.item)?);
            raw.push(user, item);
            if let (Some(column), Some(times)) = (time, &mut raw.times) {
                let time = times::parse(&self.time, row.fields[column]);
                times.push(time.map_err(|problem| row.line.problem(problem))?);
            }
            if let (Some(column), Some(values)) = (value, &mut raw.values) {
                let value = finite32(&self.value, row.fields[column]);
                values.push(value.map_err(|problem| row.line.problem(problem))?);
            }
        }
        if raw.is_empty() {
            return Err(Error::file(path, "has a header and no rows, expected interactions"));
        }
        Ok(raw)
    }
}

/// The id in a field, which may not be empty.
pub(super) fn id<'a>(row: &Row<'a>, column: usize, name: &str) -> Result<&'a str> {
    let id = row.fields[column].trim();
    if id.is_empty() {
        return Err(row.line.problem(format!("{name} is empty, expected an id")));
    }
    Ok(id)
}

/// Reads triples and which item is which entity.
fn read_graph(
    triples: &Path,
    links: Option<&Path>,
    item: &str,
    items: &Vocabulary,
) -> Result<KnowledgeGraph> {
    let mut graph = KnowledgeGraph::default();
    let mut file = AtomicFile::open(triples)?;
    let head = file.require("head_id")?;
    let relation = file.require("relation_id")?;
    let tail = file.require("tail_id")?;
    while let Some(row) = file.next()? {
        let head = graph.entities.intern(id(&row, head, "head_id")?);
        let relation = graph.relations.intern(id(&row, relation, "relation_id")?);
        let tail = graph.entities.intern(id(&row, tail, "tail_id")?);
        graph.triples.push((head, relation, tail));
    }
    let Some(links) = links else { return Ok(graph) };
    let mut file = AtomicFile::open(links)?;
    let (item, entity) = (file.require(item)?, file.require("entity_id")?);
    while let Some(row) = file.next()? {
        if let Some(known) = items.get(id(&row, item, "item_id")?) {
            let entity = graph.entities.intern(id(&row, entity, "entity_id")?);
            graph.links.push((ItemId(known), entity));
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    const INTER: &str = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n\
                         u1\ta\t4.5\t100\nu2\tb\t3\t50\n";

    #[test]
    fn all_five_files_are_read() {
        let folder = folder(&[
            ("s.inter", INTER),
            (
                "s.item",
                "item_id:token\tmovie_title:token_seq\tclass:token_seq\tyear:float\tv:float_seq\n\
                 b\tThe End\tDrama War\t1999\t1 2.5\na\tStart\t\t\t\nc\tNobody\tX\t1\t\n",
            ),
            ("s.user", "user_id:token\tage:float\tjob:token\nu2\t31\tclerk\n"),
            ("s.kg", "head_id:token\trelation_id:token\ttail_id:token\nm1\tby\tm2\n"),
            ("s.link", "item_id:token\tentity_id:token\nb\tm1\nc\tm2\n"),
        ]);
        let raw = Recbole::at(folder.path()).read().unwrap();
        assert_eq!((raw.len(), raw.items.len(), raw.inputs.len()), (2, 2, 5));
        assert_eq!(raw.times, Some(vec![100.0, 50.0]));
        assert_eq!(raw.values, Some(vec![4.5, 3.0]));
        assert_eq!(raw.catalog.title(ItemId(1)), Some("The End"));
        assert_eq!(raw.catalog.text(ItemId(1)), "The End Drama, War 1, 2.5");
        assert!(raw.people.attribute("age").unwrap().sensitive);
        assert!(!raw.people.attribute("job").unwrap().sensitive);
        assert_eq!(raw.graph.unwrap().links, [(ItemId(1), 0)]);
        assert_eq!(raw.notes, ["1 rows of s.item are about items without interactions: left out"]);
    }

    #[test]
    fn malformed_files_are_named_with_line_found_and_expected() {
        let header = INTER.lines().next().unwrap();
        for (text, expected) in [
            (String::new(), "s.inter: is empty, expected a header"),
            (header.to_owned(), "s.inter: has a header and no rows"),
            ("user_id\titem_id:token\n".to_owned(), "line 1: the header has \"user_id\""),
            ("user_id:token\titemid:token\n1\t2\n".to_owned(), "did you mean \"itemid\"?"),
            (format!("{header}\nu1\ta\t4\n"), "line 2: has 3 fields, expected 4"),
            (
                format!("{header}\nu1\ta\tgood\t1\n"),
                "line 2: rating is \"good\", expected a number",
            ),
            (
                format!("{header}\nu1\ta\t1\tNaN\n"),
                "line 2: timestamp is \"NaN\", expected a finite",
            ),
            (format!("{header}\n\ta\t1\t1\n"), "line 2: user_id is empty, expected an id"),
        ] {
            let folder = folder(&[("s.inter", &text)]);
            let error = Recbole::at(folder.path()).read().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_folder_without_or_with_two_interaction_files_is_refused() {
        let none = folder(&[("readme.md", "")]);
        let error = Recbole::at(none.path()).read().unwrap_err().to_string();
        assert!(error.contains("has readme.md, expected a file X.inter"), "{error}");
        let two = folder(&[("a.inter", INTER), ("b.inter", INTER)]);
        let error = Recbole::at(two.path()).read().unwrap_err().to_string();
        assert!(error.contains("a.inter, b.inter"), "{error}");
    }
}
