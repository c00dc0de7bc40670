//! Several sources as one.

use serde::{Deserialize, Serialize};

use super::{AnySource, RawData, Source};
use crate::catalog::{Attribute, Catalog, Column};
use crate::error::{Error, Result};

/// Several data sets side by side, as one that is learnt from before another: their users and items
/// are others, and bear the name of their data set before their own; of data sets of the same name the
/// second one's is that and `-2`.
///
/// Of each stays who met what in which order, and what is written about the items; attributes of the
/// same name and kind are one, and so are titles, whatever they are called. Times, values, what is
/// known of users, facts and reviews go, since each source counts and names them in its own way.
///
/// # References
/// Hou et al., `UniSRec`, KDD 2022, which learns from five shops before another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Together {
    /// The sources, two or more.
    pub of: Vec<AnySource>,
}

/// What titles are called.
const TITLE: &str = "title";

impl Source for Together {
    fn read(&self) -> Result<RawData> {
        let found = self.of.len();
        if found < 2 {
            return Err(Error::setting("the sources of together", found, "two or more"));
        }
        let (mut parts, mut names) = (Vec::new(), Vec::new());
        for source in &self.of {
            let mut part = source.as_dyn().read()?;
            names.push(part.name.clone());
            let alike = names.iter().filter(|name| **name == part.name).count();
            if alike > 1 {
                part.name = format!("{}-{alike}", part.name);
            }
            parts.push(part);
        }
        Ok(joined(parts))
    }
}

fn joined(parts: Vec<RawData>) -> RawData {
    let names: Vec<&str> = parts.iter().map(|part| &part.name[..]).collect();
    let formats: Vec<&str> = parts.iter().map(|part| &part.format[..]).collect();
    let mut all = RawData::new(names.join("+"), formats.join("; "));
    let mut columns: Vec<Attribute> = Vec::new();
    for part in parts {
        let first = all.items.len();
        let named = |id: &str| format!("{}/{id}", part.name);
        let users: Vec<u32> = part.users.iter().map(|id| all.users.intern(&named(id))).collect();
        let items: Vec<u32> = part.items.iter().map(|id| all.items.intern(&named(id))).collect();
        let mut rows: Vec<usize> = (0..part.len()).collect();
        if let Some(times) = &part.times {
            rows.sort_by(|&a, &b| times[a].total_cmp(&times[b]));
        }
        for row in rows {
            all.push(users[part.user[row] as usize], items[part.item[row] as usize]);
        }
        let title = part.catalog.title_attribute().map(|title| title.name.clone());
        for Attribute { name, column } in part.catalog.attributes() {
            let name = if title.as_ref() == Some(name) { TITLE } else { name };
            add(&mut columns, name, column, first);
        }
        all.inputs.extend(part.inputs);
        all.notes.extend(part.notes.iter().map(|note| format!("{}: {note}", part.name)));
        let own = part.attribution.map(|attribution| format!("{}: {attribution}", part.name));
        all.attribution = match (all.attribution.take(), own) {
            (Some(before), Some(own)) => Some(format!("{before}\n{own}")),
            (before, own) => before.or(own),
        };
    }
    let n = all.items.len();
    for attribute in &mut columns {
        fill(&mut attribute.column, n);
    }
    all.catalog = Catalog::new(columns, Some(TITLE));
    let what = "times, values, what is known of users, facts and reviews were left out";
    all.notes.push(format!("several data sets side by side: {what}"));
    all
}

/// Adds the values of a part, whose items begin at `first`, to the column of this name and kind.
fn add(columns: &mut Vec<Attribute>, name: &str, own: &Column, first: usize) {
    // One name can be of two kinds.
    let named = |name: &str, kind: &str| {
        columns.iter().any(|other| other.name == name && other.column.kind() == kind)
    };
    let taken = columns.iter().any(|other| other.name == name) && !named(name, own.kind());
    let name = if taken { format!("{name} ({})", own.kind()) } else { name.to_owned() };
    let at = columns.iter().position(|other| other.name == name).unwrap_or_else(|| {
        let column = match own {
            Column::Text(_) => Column::Text(vec![]),
            Column::Categories(_) => Column::Categories(vec![]),
            Column::Number(_) => Column::Number(vec![]),
        };
        columns.push(Attribute { name: name.clone(), column });
        columns.len() - 1
    });
    let column = &mut columns[at].column;
    fill(column, first);
    match (column, own) {
        (Column::Text(all), Column::Text(own)) => all.extend_from_slice(own),
        (Column::Categories(all), Column::Categories(own)) => all.extend_from_slice(own),
        (Column::Number(all), Column::Number(own)) => all.extend_from_slice(own),
        _ => {}
    }
}

/// Fills up a column to `n` rows of which nothing is known.
fn fill(column: &mut Column, n: usize) {
    match column {
        Column::Text(rows) => rows.resize(n, None),
        Column::Categories(rows) => rows.resize(n, vec![]),
        Column::Number(rows) => rows.resize(n, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemId;
    use crate::prepare::{PrepareOptions, prepare};
    use crate::sources::Table;

    fn table(folder: &std::path::Path, name: &str, text: &str) -> AnySource {
        let path = folder.join(name);
        fs_err::write(&path, text).unwrap();
        AnySource::Table(Table { path, ..Table::default() })
    }

    #[test]
    fn data_sets_stand_side_by_side_in_order_of_their_own_times() {
        let folder = tempfile::tempdir().unwrap();
        let one = table(folder.path(), "one.csv", "user,item,timestamp\nu,b,2\nu,a,1\nv,a,5\n");
        let two = table(folder.path(), "two.csv", "user,item,rating\nu,a,3\nu,c,4\n");
        let source = AnySource::Together(Together { of: vec![one.clone(), two] });
        let data = prepare(&source, &PrepareOptions::default()).unwrap().dataset;
        assert_eq!((&data.name[..], data.n_users(), data.n_items()), ("one+two", 3, 4));
        let user = data.users.get("one/u").unwrap();
        let sequence = data.interactions.sequence(crate::ids::UserId(user));
        let items: Vec<_> = sequence.iter().filter_map(|i| data.items.id(i.index())).collect();
        assert_eq!(items, ["one/a", "one/b"]);
        let same = Together { of: vec![one.clone(), one.clone(), one.clone()] }.read().unwrap();
        assert_eq!((&same.name[..], same.users.len()), ("one+one-2+one-3", 6));
        assert!(Together { of: vec![one] }.read().is_err());
    }

    #[test]
    fn titles_are_one_column_whatever_they_were_called() {
        let part = |name: &str, items: &[&str], title: &str, year: bool| {
            let texts = items.iter().map(|item| Some(format!("{name} {item}"))).collect();
            let text = Attribute { name: title.to_owned(), column: Column::Text(texts) };
            let years = Column::Number(vec![Some(1999.0); items.len()]);
            let years = year.then(|| Attribute { name: "year".to_owned(), column: years });
            let catalog = Catalog::new([text].into_iter().chain(years).collect(), Some(title));
            let items = items.iter().copied().collect();
            RawData { items, catalog, ..RawData::new(name, "made up") }
        };
        let all =
            joined(vec![part("x", &["a", "b"], "name", false), part("y", &["a"], TITLE, true)]);
        let titles: Vec<_> = (0..3).map(|item| all.catalog.title(ItemId(item))).collect();
        assert_eq!(titles, [Some("x a"), Some("x b"), Some("y a")]);
        let years = &all.catalog.attribute("year").unwrap().column;
        assert_eq!(*years, Column::Number(vec![None, None, Some(1999.0)]));
    }
}
