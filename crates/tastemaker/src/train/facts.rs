//! What an objective may know beside a window.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;

use tastemaker_core::catalog::{Attribute, Column, words};
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, UserId, suggest};
use tastemaker_nn::backbones::{Shape, View, Views};

use super::views::{Returns, numbers};
use super::{Profiles, Window};

/// The data that is learnt from. Nothing later than the training part may be looked at.
#[derive(Debug)]
pub struct Facts<'a> {
    data: &'a Dataset,
    split: &'a SplitSets,
    /// Items in the catalog.
    pub n_items: u32,
    /// How many of what `n_items` counts stand for one item: 1, or its tokens.
    pub item_length: usize,
    /// The longest sequence that the backbone reads.
    pub max_length: usize,
    /// Whether an encoder reads the beginning of a sequence and a decoder goes on.
    pub has_encoder: bool,
    views: Views,
    /// Whether the backbone looks at the time between items.
    intervals: bool,
    returns: Returns,
    /// What a personal prompt is told of users, one after the other.
    profiles: Vec<Profiles>,
    /// How often each item was met; counted when it is first asked for.
    popularity: OnceLock<Vec<u32>>,
    /// Made when they are first asked for: most objectives never do.
    categories: OnceLock<Categories>,
}

/// The categories of each item, numbered from 0: attributes in the order of the catalog, and those
/// of an attribute in the order in which items first have them. Words of texts are categories too,
/// where a text is named.
#[derive(Debug, Default)]
pub struct Categories {
    attributes: Vec<(String, Range<u32>)>,
    values: Vec<String>,
    of: Vec<Vec<u32>>,
}

impl<'a> Facts<'a> {
    /// What a backbone of this shape is told of `data`, of which `split` says what is learnt from.
    pub fn new(data: &'a Dataset, split: &'a SplitSets, shape: Shape) -> Self {
        let n_items = u32::try_from(data.n_items()).expect("items are numbered in 32 bits");
        let (max_length, views) = (shape.max_length, shape.views);
        let values =
            |user| data.interactions.values(user).map(|v| &v[..split.train(data, user).len()]);
        let returns = if views.has(View::Return) {
            Returns::new(data.interactions.users().filter_map(values))
        } else {
            Returns::default()
        };
        Self {
            data,
            split,
            n_items,
            item_length: 1,
            max_length,
            has_encoder: shape.has_encoder(),
            views,
            intervals: shape.style.intervals,
            returns,
            profiles: vec![],
            popularity: OnceLock::new(),
            categories: OnceLock::new(),
        }
    }

    /// The same with what a personal prompt is told of users: each window is asked about with each of
    /// these.
    #[must_use]
    pub fn with_profiles(self, profiles: Vec<Profiles>) -> Self {
        Self { profiles, ..self }
    }

    /// What a personal prompt is told of the user of `window`, each time that it is asked about; once
    /// and nothing without such a prompt.
    pub fn told(&self, window: &Window<'_>) -> impl Iterator<Item = Option<&[u32]>> {
        let user = Some(window.user);
        let nothing = self.profiles.is_empty().then_some(None);
        nothing.into_iter().chain(self.profiles.iter().map(move |of| Some(of.of(user))))
    }

    /// The categories of an attribute of users that `user` has.
    pub fn group(&self, attribute: &str, user: UserId) -> &'a [String] {
        self.data.people.categories(attribute, user)
    }

    /// How often `item` stands in the training part.
    pub fn popularity(&self, item: ItemId) -> u32 {
        let counts = self.popularity.get_or_init(|| self.split.train_popularity(self.data));
        counts[item.index()]
    }

    /// The values of the items of `window`, where the data has values.
    pub fn values(&self, window: &Window<'_>) -> Option<&'a [f32]> {
        let values = self.data.interactions.values(window.user)?;
        Some(&values[window.first..][..window.items.len()])
    }

    /// What each of the backbone's views says of the items of `window`.
    pub fn views(&self, window: &Window<'_>) -> Vec<Vec<u32>> {
        if self.views.is_empty() {
            return Vec::new();
        }
        let (interactions, n) = (&self.data.interactions, self.train(window.user).len());
        let values = interactions.values(window.user).filter(|_| self.views.has(View::Return));
        let returns = values.map(|values| self.returns.numbers(&values[..n]));
        let of = |place: usize| returns.as_ref().map_or(0, |returns| returns[place]);
        let cut = |numbers: Vec<u32>| numbers[window.first..][..window.items.len()].to_vec();
        let all = numbers(self.views, n, interactions.times(window.user), of);
        all.into_iter().map(cut).collect()
    }

    /// The times of the items of `window`, where the backbone looks at them and the data has them.
    pub fn times(&self, window: &Window<'_>) -> Option<&'a [f64]> {
        let times = self.data.interactions.times(window.user).filter(|_| self.intervals)?;
        Some(&times[window.first..][..window.items.len()])
    }

    fn all_categories(&self) -> &Categories {
        self.categories.get_or_init(|| Categories::of(self.data, &[], 1))
    }

    /// The numbers of the categories of these attributes; of all, if none is named.
    pub fn numbers(&self, attributes: &[String]) -> Vec<Range<u32>> {
        let wanted = |name: &String| attributes.is_empty() || attributes.contains(name);
        let all = self.all_categories().attributes.iter();
        all.filter(|(name, _)| wanted(name)).map(|(_, numbers)| numbers.clone()).collect()
    }

    /// The categories of `item`, by number.
    pub fn categories(&self, item: ItemId) -> &[u32] {
        self.all_categories().of.get(item.index()).map_or(&[], Vec::as_slice)
    }

    /// The end of `items` that the backbone reads in one sequence beside `others` tokens.
    pub fn last<'i>(&self, items: &'i [ItemId], others: usize) -> &'i [ItemId] {
        let room = self.max_length.saturating_sub(others).max(1);
        &items[items.len().saturating_sub(room)..]
    }

    /// How many users there are.
    pub fn n_users(&self) -> usize {
        self.data.n_users()
    }

    /// What `user` contributes to training, oldest first.
    pub fn train(&self, user: UserId) -> &'a [ItemId] {
        self.split.train(self.data, user)
    }
}

impl Categories {
    /// The categories of these attributes; of all that hold categories, if none is named. Those
    /// that fewer than `min_items` items have are left out.
    pub fn of(data: &Dataset, attributes: &[String], min_items: usize) -> Self {
        let mut all = Self { of: vec![Vec::new(); data.n_items()], ..Self::default() };
        for attribute in data.catalog.attributes() {
            if let Some(rows) = values(attribute, attributes) {
                all.add(&attribute.name, &rows, min_items);
            }
        }
        all
    }

    /// Gives numbers to the values of another attribute.
    fn add(&mut self, attribute: &str, rows: &[Vec<Cow<'_, str>>], min_items: usize) {
        let mut items: BTreeMap<&str, usize> = BTreeMap::new();
        for value in rows.iter().flatten() {
            *items.entry(value).or_default() += 1;
        }
        let number = |values: &[String]| u32::try_from(values.len()).expect("fewer than 2^32");
        let (first, mut numbers) = (number(&self.values), BTreeMap::new());
        for (item, row) in self.of.iter_mut().zip(rows) {
            for value in row.iter().filter(|value| items[value.as_ref()] >= min_items) {
                item.push(*numbers.entry(value).or_insert_with(|| {
                    self.values.push(value.to_string());
                    number(&self.values) - 1
                }));
            }
        }
        self.attributes.push((attribute.to_owned(), first..number(&self.values)));
    }

    /// The categories of each item, by number.
    pub fn of_items(&self) -> &[Vec<u32>] {
        &self.of
    }

    /// Every category by its number: its attribute and its value.
    pub fn named(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.values.iter().enumerate().map(|(number, value)| {
            let ends = |(_, numbers): &(String, Range<u32>)| numbers.end as usize <= number;
            (self.attributes[self.attributes.partition_point(ends)].0.as_str(), value.as_str())
        })
    }
}

/// The values that each item has of an attribute, each once; nothing where they are not wanted, or
/// no categories.
fn values<'d>(attribute: &'d Attribute, wanted: &[String]) -> Option<Vec<Vec<Cow<'d, str>>>> {
    let named = wanted.contains(&attribute.name);
    match &attribute.column {
        Column::Categories(rows) if named || wanted.is_empty() => {
            let once = |row: &'d Vec<String>| distinct(row.iter().map(Cow::from));
            Some(rows.iter().map(once).collect())
        }
        Column::Text(rows) if named => {
            let of = |row: &Option<String>| {
                distinct(words(row.as_deref().unwrap_or_default()).map(Cow::from))
            };
            Some(rows.iter().map(of).collect())
        }
        _ => None,
    }
}

/// Values without their repetitions.
fn distinct<'d>(values: impl Iterator<Item = Cow<'d, str>>) -> Vec<Cow<'d, str>> {
    let mut distinct = Vec::new();
    values.for_each(|value| {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    });
    distinct
}

/// The names of the attributes of `data` that say a category of any item.
pub fn category_attributes(data: &Dataset) -> Vec<&str> {
    names_of(data, |column| matches!(column, Column::Categories(_)))
}

/// The names of the attributes of `data` that say a category or a word of any item.
pub fn feature_attributes(data: &Dataset) -> Vec<&str> {
    names_of(data, |column| matches!(column, Column::Categories(_) | Column::Text(_)))
}

/// Why users of `data` cannot be told apart by the categories of `attribute`, if they cannot.
pub fn ungroupable(attribute: &String, data: &Dataset) -> Option<String> {
    let all = data.people.attributes().iter().map(|known| &known.attribute);
    let held =
        all.filter(|a| matches!(a.column, Column::Categories(_)) && a.column.n_present() > 0);
    let known: Vec<&str> = held.map(|attribute| attribute.name.as_str()).collect();
    let whose = ("users", "categories");
    let unknown = unknown_attribute(std::slice::from_ref(attribute), &known, whose);
    unknown.or_else(|| {
        let of = |user| data.people.categories(attribute, user);
        let groups: BTreeSet<&[String]> = data.interactions.users().map(of).collect();
        let n = groups.iter().filter(|group| !group.is_empty()).count();
        (n < 2).then(|| format!("all users of whom {attribute:?} is known have the same"))
    })
}

/// Why users of `data` cannot be told another value of one of the `attributes`, if they cannot.
pub fn unexchangeable(attributes: &[String], data: &Dataset) -> Option<String> {
    let all = data.people.attributes().iter().map(|known| &known.attribute);
    let one_value = |column: &Column| {
        let values = (0..column.len()).filter_map(|row| column.display(row));
        values.collect::<BTreeSet<String>>().len() < 2
    };
    let mut exchanged = all.filter(|attribute| attributes.contains(&attribute.name));
    let same = exchanged.find(|attribute| one_value(&attribute.column))?;
    Some(format!("all users of whom {:?} is known have the same", same.name))
}

/// Why one of the `attributes` cannot be asked for, where only the `known` ones of `whose` hold
/// `what`.
pub fn unknown_attribute(
    attributes: &[String],
    known: &[&str],
    (whose, what): (&str, &str),
) -> Option<String> {
    let unknown = attributes.iter().find(|name| !known.contains(&name.as_str()))?;
    if known.is_empty() {
        return Some(format!("the {whose} have no attributes with {what}"));
    }
    let (hint, known) = (suggest::hint(unknown, known.iter().copied()), known.join(", "));
    Some(format!("no attribute {unknown:?} of {whose} holds {what}, only {known}{hint}"))
}

fn names_of(data: &Dataset, fits: impl Fn(&Column) -> bool) -> Vec<&str> {
    let has = |column: &Column| fits(column) && column.n_present() > 0;
    let attributes = data.catalog.attributes().iter().filter(|attribute| has(&attribute.column));
    attributes.map(|attribute| attribute.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use tastemaker_core::catalog::Catalog;

    use super::*;

    #[test]
    fn categories_and_words_are_numbered_in_the_order_of_the_catalog_and_of_the_items() {
        let lists = |rows: [&[&str]; 3]| {
            Column::Categories(rows.map(|row| row.iter().map(|v| (*v).to_owned()).collect()).into())
        };
        let texts = [Some("Red nail-polish, RED"), None, Some("Blue polish 5")];
        let column = |name: &str, column| Attribute { name: name.to_owned(), column };
        let catalog = vec![
            column("text", Column::Text(texts.map(|text| text.map(str::to_owned)).into())),
            column("year", Column::Number(vec![Some(1999.0); 3])),
            column("kinds", lists([&["b", "a"], &["a"], &["polish", "b"]])),
        ];
        let items = (0..3).map(|i| i.to_string()).collect();
        let catalog = Catalog::new(catalog, None);
        let data = Dataset { items, catalog, ..Dataset::default() };
        let of = |attributes: &[&str], min_items| {
            let attributes: Vec<String> = attributes.iter().map(|a| (*a).to_owned()).collect();
            let all = Categories::of(&data, &attributes, min_items);
            let named: Vec<String> = all.named().map(|(a, v)| format!("{a}={v}")).collect();
            (named.join(" "), all.of_items().to_vec())
        };
        let kinds = "kinds=b kinds=a kinds=polish";
        let plain = (kinds.to_owned(), vec![vec![0, 1], vec![1], vec![2, 0]]);
        assert_eq!(of(&[], 1), plain);
        let both = "text=red text=nail text=polish text=blue text=5 kinds=b kinds=a kinds=polish";
        let rows = vec![vec![0, 1, 2, 5, 6], vec![6], vec![3, 2, 4, 7, 5]];
        assert_eq!(of(&["kinds", "text"], 1), (both.to_owned(), rows));
        let twice = "text=polish kinds=b kinds=a".to_owned();
        assert_eq!(of(&["kinds", "text"], 2), (twice, vec![vec![0, 1, 2], vec![2], vec![0, 1]]));
        assert_eq!(of(&["text"], 3).0, "");
        assert_eq!(feature_attributes(&data), ["text", "kinds"]);
    }
}
