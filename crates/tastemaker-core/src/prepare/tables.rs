//! Which columns stand in which file of the prepared folder.

use std::path::Path;

use super::manifest::{Manifest, SavedAttribute};
use super::parquet_columns::{self, Shape, Stored};
use crate::artifact::sha256_file;
use crate::catalog::{Attribute, Catalog, Column};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::graph::KnowledgeGraph;
use crate::ids::{ItemId, UserId, Vocabulary};
use crate::interactions::Interactions;
use crate::people::{UserAttribute, UserAttributes};

type Columns = Vec<(String, Stored)>;

/// A file's name, and what makes its columns.
type File = (&'static str, fn(&Dataset) -> Columns);

const INTERACTIONS: &str = "interactions.parquet";
const ITEMS: &str = "items.parquet";
const USERS: &str = "users.parquet";
const TRIPLES: &str = "triples.parquet";
const LINKS: &str = "links.parquet";
const ENTITIES: &str = "entities.parquet";
const RELATIONS: &str = "relations.parquet";

/// Every file of the folder with what makes its columns, so that only one file's columns are in
/// memory at a time.
pub(super) fn all(data: &Dataset) -> Vec<File> {
    let mut all: Vec<File> = vec![(INTERACTIONS, interactions), (ITEMS, items), (USERS, users)];
    if data.graph.is_some() {
        all.push((TRIPLES, triples));
        all.push((LINKS, links));
        all.push((ENTITIES, |data| names("entity_id", data.graph.iter().map(|g| &g.entities))));
        all.push((RELATIONS, |data| names("relation_id", data.graph.iter().map(|g| &g.relations))));
    }
    all
}

fn interactions(data: &Dataset) -> Columns {
    let interactions = &data.interactions;
    let user = interactions.users().flat_map(|user| {
        let n = interactions.sequence(user).len();
        std::iter::repeat_n(user.0, n)
    });
    let item = interactions.all_items().iter().map(|item| item.0);
    let mut columns = vec![
        ("user".to_owned(), Stored::Ids(user.collect())),
        ("item".to_owned(), Stored::Ids(item.collect())),
    ];
    columns
        .extend(interactions.all_times().map(|t| ("time".to_owned(), Stored::Doubles(t.to_vec()))));
    columns.extend(
        interactions.all_values().map(|v| ("value".to_owned(), Stored::Floats(v.to_vec()))),
    );
    let texts = interactions.texts().iter();
    columns.extend(texts.map(|texts| (text_column(&texts.name), stored(&texts.column))));
    columns
}

fn names<'a>(column: &str, ids: impl Iterator<Item = &'a Vocabulary>) -> Columns {
    vec![(
        column.to_owned(),
        Stored::Names(ids.flat_map(Vocabulary::iter).map(str::to_owned).collect()),
    )]
}

fn items(data: &Dataset) -> Columns {
    let mut columns = names("item_id", std::iter::once(&data.items));
    for (index, attribute) in data.catalog.attributes().iter().enumerate() {
        columns.push((column_name(index, &attribute.name, "item_id"), stored(&attribute.column)));
    }
    columns
}

fn users(data: &Dataset) -> Columns {
    let mut columns = names("user_id", std::iter::once(&data.users));
    for (index, known) in data.people.attributes().iter().enumerate() {
        let attribute = &known.attribute;
        columns.push((column_name(index, &attribute.name, "user_id"), stored(&attribute.column)));
    }
    columns
}

fn triples(data: &Dataset) -> Columns {
    let column = |name: &str, part: fn(&(u32, u32, u32)) -> u32| {
        let triples = data.graph.iter().flat_map(|graph| &graph.triples);
        (name.to_owned(), Stored::Ids(triples.map(part).collect()))
    };
    vec![column("head", |t| t.0), column("relation", |t| t.1), column("tail", |t| t.2)]
}

fn links(data: &Dataset) -> Columns {
    let column = |name: &str, part: fn(&(ItemId, u32)) -> u32| {
        let links = data.graph.iter().flat_map(|graph| &graph.links);
        (name.to_owned(), Stored::Ids(links.map(part).collect()))
    };
    vec![column("item", |link| link.0.0), column("entity", |link| link.1)]
}

/// The name of the column of a kind of text about interactions.
fn text_column(name: &str) -> String {
    format!("text_{name}")
}

/// The name of an attribute's column: the attribute's own, unless the id has it.
fn column_name(index: usize, name: &str, id: &str) -> String {
    if name == id || name.is_empty() { format!("attribute_{index}") } else { name.to_owned() }
}

fn stored(column: &Column) -> Stored {
    match column {
        Column::Text(rows) => Stored::Texts(rows.clone()),
        Column::Categories(rows) => Stored::Lists(rows.clone()),
        Column::Number(rows) => Stored::Numbers(rows.clone()),
    }
}

/// Reads all files of `folder`; the result has the manifest's name and no hash yet.
pub(super) fn read(folder: &Path, manifest: &Manifest) -> Result<Dataset> {
    let reader = Reader { folder, manifest };
    let (items, catalog) = reader.attributes(ITEMS, "item_id", &manifest.item_attributes)?;
    let (users, people) = reader.attributes(USERS, "user_id", &manifest.user_attributes)?;
    let interactions = reader.interactions(users.len(), items.len())?;
    let has_graph = manifest.files.iter().any(|file| file.name == TRIPLES);
    let graph = has_graph.then(|| reader.graph(items.len())).transpose()?;
    let title = manifest.item_attributes.iter().find(|attribute| attribute.title);
    let people = people
        .into_iter()
        .zip(&manifest.user_attributes)
        .map(|(attribute, saved)| UserAttribute { attribute, sensitive: saved.sensitive });
    Ok(Dataset {
        name: manifest.name.clone(),
        hash: String::new(),
        interactions,
        catalog: Catalog::new(catalog, title.map(|title| title.name.as_str())),
        people: UserAttributes::new(people.collect()),
        graph,
        users,
        items,
    })
}

/// Reads the files of one folder and checks them against its manifest.
struct Reader<'a> {
    folder: &'a Path,
    manifest: &'a Manifest,
}

impl Reader<'_> {
    /// The columns of the file `name`.
    fn columns(&self, name: &str, shapes: &[(String, Shape)]) -> Result<Vec<Stored>> {
        let path = self.folder.join(name);
        let Some(expected) = self.manifest.files.iter().find(|file| file.name == name) else {
            return Err(Error::file(&path, "is not in the manifest, expected it there"));
        };
        let failed = |source| Error::read(&path, source);
        let file = fs_err::File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size != expected.bytes {
            let problem =
                format!("is {size} bytes long, expected {}: it was changed", expected.bytes);
            return Err(Error::file(&path, problem));
        }
        let hash = sha256_file(&path)?;
        if hash != expected.sha256 {
            let problem = format!("has hash {hash}, expected {}: it was changed", expected.sha256);
            return Err(Error::file(&path, problem));
        }
        parquet_columns::read(file.into_file(), shapes)
            .map_err(|error| Error::file(&path, error.to_string()))
    }

    /// Ids and attributes of items or users.
    fn attributes(
        &self,
        file: &str,
        id: &str,
        saved: &[SavedAttribute],
    ) -> Result<(Vocabulary, Vec<Attribute>)> {
        let mut shapes = vec![(id.to_owned(), Shape::Names)];
        for (index, attribute) in saved.iter().enumerate() {
            let shape = match attribute.kind.as_str() {
                "text" => Shape::Texts,
                "categories" => Shape::Lists,
                "number" => Shape::Numbers,
                kind => {
                    let problem = format!("is {kind:?}, expected text, categories or number");
                    return Err(Error::file(&self.folder.join(file), problem));
                }
            };
            shapes.push((column_name(index, &attribute.name, id), shape));
        }
        let mut columns = self.columns(file, &shapes)?.into_iter();
        let ids = match columns.next() {
            Some(Stored::Names(names)) => names.into_iter().collect(),
            _ => Vocabulary::default(),
        };
        let attributes = columns.zip(saved).map(|(stored, saved)| {
            let column = match stored {
                Stored::Texts(rows) => Column::Text(rows),
                Stored::Lists(rows) => Column::Categories(rows),
                Stored::Numbers(rows) => Column::Number(rows),
                _ => Column::Text(Vec::new()),
            };
            Attribute { name: saved.name.clone(), column }
        });
        Ok((ids, attributes.collect()))
    }

    fn interactions(&self, n_users: usize, n_items: usize) -> Result<Interactions> {
        let file = self.folder.join(INTERACTIONS);
        let mut shapes = vec![("user".to_owned(), Shape::Ids), ("item".to_owned(), Shape::Ids)];
        if self.manifest.has_times {
            shapes.push(("time".to_owned(), Shape::Doubles));
        }
        if self.manifest.has_values {
            shapes.push(("value".to_owned(), Shape::Floats));
        }
        let names = &self.manifest.texts;
        shapes.extend(names.iter().map(|name| (text_column(name), Shape::Texts)));
        let (mut ids, mut times, mut values, mut texts) = (Vec::new(), None, None, Vec::new());
        for column in self.columns(INTERACTIONS, &shapes)? {
            match column {
                Stored::Ids(column) => ids.push(column),
                Stored::Doubles(column) => times = Some(column),
                Stored::Floats(column) => values = Some(column),
                Stored::Texts(rows) => texts.push(Column::Text(rows)),
                _ => {}
            }
        }
        let items = ids.pop().unwrap_or_default();
        let users = ids.pop().unwrap_or_default();
        let inside = users.is_sorted()
            && users.last().is_none_or(|&user| (user as usize) < n_users)
            && items.iter().all(|&item| (item as usize) < n_items);
        if !inside {
            return Err(Error::file(&file, "names users or items that are not there"));
        }
        let mut offsets = vec![0; n_users + 1];
        for &user in &users {
            offsets[UserId(user).index() + 1] += 1;
        }
        for user in 0..n_users {
            offsets[user + 1] += offsets[user];
        }
        let items = items.into_iter().map(ItemId).collect();
        let texts = names.iter().zip(texts);
        let texts = texts.map(|(name, column)| Attribute { name: name.clone(), column }).collect();
        Ok(Interactions::from_columns(offsets, items, times, values).with_texts(texts))
    }

    fn graph(&self, n_items: usize) -> Result<KnowledgeGraph> {
        let ids = |file: &str, names: &[&str]| -> Result<Vec<Vec<u32>>> {
            let shapes: Vec<_> = names.iter().map(|&name| (name.to_owned(), Shape::Ids)).collect();
            let columns = self.columns(file, &shapes)?.into_iter().map(|column| match column {
                Stored::Ids(ids) => ids,
                _ => Vec::new(),
            });
            Ok(columns.collect())
        };
        let (entities, _) = self.attributes(ENTITIES, "entity_id", &[])?;
        let (relations, _) = self.attributes(RELATIONS, "relation_id", &[])?;
        let triples = ids(TRIPLES, &["head", "relation", "tail"])?;
        let links = ids(LINKS, &["item", "entity"])?;
        let below = |ids: &[u32], n: usize| ids.iter().all(|&id| (id as usize) < n);
        let inside = below(&triples[0], entities.len())
            && below(&triples[1], relations.len())
            && below(&triples[2], entities.len())
            && below(&links[0], n_items)
            && below(&links[1], entities.len());
        if !inside {
            return Err(Error::file(self.folder, "has a graph about what is not there"));
        }
        let triples = (0..triples[0].len()).map(|i| (triples[0][i], triples[1][i], triples[2][i]));
        let links = (0..links[0].len()).map(|i| (ItemId(links[0][i]), links[1][i]));
        let (triples, links) = (triples.collect(), links.collect());
        Ok(KnowledgeGraph { entities, relations, triples, links })
    }
}
