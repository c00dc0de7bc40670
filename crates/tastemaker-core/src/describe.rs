//! A data set in figures.

use serde::Serialize;

use crate::catalog::{Attribute, Column};
use crate::dataset::Dataset;
use crate::ids::UserId;
use crate::reading::times::iso;

/// How many categories of an attribute are named.
const TOP: usize = 10;

/// A data set in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// What the data set is called.
    pub name: String,
    /// SHA-256 over its content.
    pub hash: String,
    /// Users.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Interactions.
    pub interactions: usize,
    /// Interactions divided by users × items.
    pub density: f64,
    /// Interactions of a user.
    pub user_lengths: Quantiles,
    /// Interactions with an item.
    pub item_counts: Quantiles,
    /// When, where the source had times.
    pub time: Option<TimeSpan>,
    /// Ratings or counts, where the source had them.
    pub values: Option<ValueRange>,
    /// The share of items with a title, where there are titles.
    pub titles: Option<Coverage>,
    /// The share of items about which anything is written (title, text or categories).
    pub text: Coverage,
    /// The items' attributes.
    pub item_attributes: Vec<AttributeDescription>,
    /// The users' attributes.
    pub user_attributes: Vec<AttributeDescription>,
    /// The names of those users' attributes that are sensitive.
    pub sensitive: Vec<String>,
    /// The graph, where there is one.
    pub graph: Option<GraphDescription>,
}

/// Where the values of a distribution lie; a quantile is the value at rank ⌈q·n⌉ of the n sorted
/// values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quantiles {
    /// The mean.
    pub mean: f64,
    /// The smallest.
    pub min: usize,
    /// The 5 % quantile.
    pub p5: usize,
    /// The 25 % quantile.
    pub p25: usize,
    /// The median.
    pub median: usize,
    /// The 75 % quantile.
    pub p75: usize,
    /// The 95 % quantile.
    pub p95: usize,
    /// The largest.
    pub max: usize,
}

/// When the interactions were.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TimeSpan {
    /// The first, as ISO 8601 in UTC.
    pub first: String,
    /// The last, as ISO 8601 in UTC.
    pub last: String,
    /// From the first to the last, in days.
    pub days: f64,
    /// The share of interactions that have the same time as the one before or after of the same
    /// user: how much of the order is decided by the rule for equal times.
    pub equal: f64,
}

/// The values of the interactions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ValueRange {
    /// The smallest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
    /// How many different ones there are.
    pub distinct: usize,
}

/// How many rows have a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Coverage {
    /// Rows with a value.
    pub present: usize,
    /// Rows with a value divided by all rows.
    pub share: f64,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttributeDescription {
    /// Its name.
    pub name: String,
    /// `text`, `categories` or `number`.
    pub kind: &'static str,
    /// How many items or users have it.
    pub coverage: Coverage,
    /// How many different values there are (categories only).
    pub distinct: Option<usize>,
    /// The most frequent values with their counts (categories only); by count, then by name.
    pub top: Vec<(String, usize)>,
    /// The smallest and the largest (numbers only).
    pub range: Option<(f64, f64)>,
    /// Whether it is sensitive (users only).
    pub sensitive: bool,
}

/// The knowledge graph in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GraphDescription {
    /// Entities.
    pub entities: usize,
    /// Relations.
    pub relations: usize,
    /// Triples.
    pub triples: usize,
    /// Items that are an entity.
    pub linked_items: usize,
}

/// Describes `data`.
pub fn describe(data: &Dataset) -> Description {
    let interactions = &data.interactions;
    let lengths = interactions.users().map(|user| interactions.sequence(user).len()).collect();
    let mut item_counts = vec![0; data.n_items()];
    for item in interactions.all_items() {
        item_counts[item.index()] += 1;
    }
    let items =
        data.catalog.attributes().iter().map(|attribute| describe_attribute(attribute, false));
    let people = data.people.attributes();
    let users = people.iter().map(|known| describe_attribute(&known.attribute, known.sensitive));
    let pairs = data.n_users() as f64 * data.n_items() as f64;
    Description {
        name: data.name.clone(),
        hash: data.hash.clone(),
        users: data.n_users(),
        items: data.n_items(),
        interactions: interactions.len(),
        density: if pairs > 0.0 { interactions.len() as f64 / pairs } else { 0.0 },
        user_lengths: quantiles(lengths),
        item_counts: quantiles(item_counts),
        time: time_span(data),
        values: interactions.all_values().and_then(value_range),
        titles: data.catalog.title_attribute().map(|title| coverage_of(&title.column)),
        text: text_coverage(data),
        item_attributes: items.collect(),
        user_attributes: users.collect(),
        sensitive: people
            .iter()
            .filter(|known| known.sensitive)
            .map(|known| known.attribute.name.clone())
            .collect(),
        graph: data.graph.as_ref().map(|graph| {
            let mut linked: Vec<_> = graph.links.iter().map(|(item, _)| *item).collect();
            linked.sort_unstable();
            linked.dedup();
            GraphDescription {
                entities: graph.entities.len(),
                relations: graph.relations.len(),
                triples: graph.triples.len(),
                linked_items: linked.len(),
            }
        }),
    }
}

/// The quantiles of `values`; all zero where there are none.
fn quantiles(mut values: Vec<usize>) -> Quantiles {
    values.sort_unstable();
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
        return Quantiles::default();
    };
    let at = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    Quantiles {
        mean: values.iter().sum::<usize>() as f64 / values.len() as f64,
        min,
        p5: at(5),
        p25: at(25),
        median: at(50),
        p75: at(75),
        p95: at(95),
        max,
    }
}

/// When the interactions were, and how many of them at the same time as a neighbour.
fn time_span(data: &Dataset) -> Option<TimeSpan> {
    let all = data.interactions.all_times()?;
    let first = all.iter().copied().min_by(f64::total_cmp)?;
    let last = all.iter().copied().max_by(f64::total_cmp)?;
    let equal_of = |user: UserId| {
        let times = data.interactions.times(user).unwrap_or_default();
        let runs = times.chunk_by(|a, b| a.total_cmp(b).is_eq());
        runs.map(<[f64]>::len).filter(|&run| run > 1).sum::<usize>()
    };
    let equal: usize = data.interactions.users().map(equal_of).sum();
    Some(TimeSpan {
        first: iso(first),
        last: iso(last),
        days: (last - first) / 86_400.0,
        equal: equal as f64 / all.len() as f64,
    })
}

fn value_range(values: &[f32]) -> Option<ValueRange> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let (min, max) = (f64::from(*sorted.first()?), f64::from(*sorted.last()?));
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64;
    Some(ValueRange {
        min,
        mean,
        max,
        distinct: sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).count(),
    })
}

fn coverage(present: usize, rows: usize) -> Coverage {
    Coverage { present, share: if rows > 0 { present as f64 / rows as f64 } else { 0.0 } }
}

fn coverage_of(column: &Column) -> Coverage {
    coverage(column.n_present(), column.len())
}

/// How many items have anything but numbers.
fn text_coverage(data: &Dataset) -> Coverage {
    let written = |row: usize| {
        data.catalog.attributes().iter().any(|attribute| match &attribute.column {
            Column::Text(rows) => rows[row].is_some(),
            Column::Categories(rows) => !rows[row].is_empty(),
            Column::Number(_) => false,
        })
    };
    coverage((0..data.n_items()).filter(|&row| written(row)).count(), data.n_items())
}

fn describe_attribute(attribute: &Attribute, sensitive: bool) -> AttributeDescription {
    let mut description = AttributeDescription {
        name: attribute.name.clone(),
        kind: attribute.column.kind(),
        coverage: coverage_of(&attribute.column),
        distinct: None,
        top: Vec::new(),
        range: None,
        sensitive,
    };
    match &attribute.column {
        Column::Text(_) => {}
        Column::Categories(rows) => {
            let mut all: Vec<&str> = rows.iter().flatten().map(String::as_str).collect();
            all.sort_unstable();
            let mut counts: Vec<(&str, usize)> =
                all.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect();
            description.distinct = Some(counts.len());
            counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
            counts.truncate(TOP);
            description.top = counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        }
        Column::Number(rows) => {
            let numbers = || rows.iter().flatten().copied();
            let range = numbers().min_by(f64::total_cmp).zip(numbers().max_by(f64::total_cmp));
            description.range = range;
        }
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::ids::{ItemId, Vocabulary};
    use crate::interactions::Interactions;

    #[test]
    fn the_figures_are_those_one_counts_by_hand() {
        let genre =
            Column::Categories(vec![vec!["b".into(), "a".into()], vec!["a".into()], vec![]]);
        let title = Column::Text(vec![Some("T".into()), None, None]);
        let attribute = |name: &str, column| Attribute { name: name.into(), column };
        let data = Dataset {
            name: "hand".into(),
            users: ["u", "v"].iter().collect::<Vocabulary>(),
            items: ["x", "y", "z"].iter().collect::<Vocabulary>(),
            interactions: Interactions::from_columns(
                vec![0, 3, 4],
                vec![ItemId(0), ItemId(1), ItemId(2), ItemId(0)],
                Some(vec![0.0, 86_400.0, 86_400.0, 86_400.0]),
                Some(vec![1.0, 2.0, 2.0, 5.0]),
            ),
            catalog: Catalog::new(
                vec![attribute("genre", genre), attribute("title", title)],
                Some("title"),
            ),
            ..Dataset::default()
        };
        let d = describe(&data);
        assert_eq!((d.users, d.items, d.interactions), (2, 3, 4));
        assert!((d.density - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!((d.user_lengths.min, d.user_lengths.median, d.user_lengths.max), (1, 1, 3));
        let time = d.time.unwrap();
        assert_eq!((&*time.first, &*time.last), ("1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"));
        assert!((time.equal - 0.5).abs() < 1e-12);
        assert_eq!(d.values.unwrap().distinct, 3);
        assert_eq!((d.titles.unwrap().present, d.text.present), (1, 2));
        assert_eq!(d.item_attributes[0].top, [("a".into(), 2), ("b".into(), 1)]);
    }
}
