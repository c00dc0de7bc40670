//! What an objective may know beside a window.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use tastemaker_core::catalog::Column;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, UserId};
use tastemaker_nn::backbones::{Shape, View, Views};

use super::Window;
use super::views::{Returns, numbers};

/// The data that is learnt from. Nothing later than the training part may be looked at.
#[derive(Debug)]
pub struct Facts<'a> {
    data: &'a Dataset,
    split: &'a SplitSets,
    /// Items in the catalog.
    pub n_items: u32,
    /// The longest sequence that the backbone reads.
    pub max_length: usize,
    views: Views,
    returns: Returns,
    /// Made when they are first asked for: most objectives never do.
    categories: OnceLock<Categories>,
}

/// The categories of each item, of all attributes that hold categories; those of an attribute
/// have numbers that follow one another.
#[derive(Debug, Default)]
struct Categories {
    attributes: Vec<(String, Range<u32>)>,
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
        let categories = OnceLock::new();
        Self { data, split, n_items, max_length, views, returns, categories }
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

    fn all_categories(&self) -> &Categories {
        self.categories.get_or_init(|| Categories::of(self.data))
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
    fn of(data: &Dataset) -> Self {
        let (mut attributes, mut next) = (Vec::new(), 0);
        let mut of = vec![Vec::new(); data.n_items()];
        for attribute in data.catalog.attributes() {
            let Column::Categories(rows) = &attribute.column else { continue };
            let (first, mut numbers) = (next, BTreeMap::new());
            for (item, names) in of.iter_mut().zip(rows) {
                for name in names {
                    item.push(*numbers.entry(name).or_insert_with(|| {
                        next += 1;
                        next - 1
                    }));
                }
            }
            attributes.push((attribute.name.clone(), first..next));
        }
        Self { attributes, of }
    }
}

/// The names of the attributes of `data` that say a category of any item.
pub fn category_attributes(data: &Dataset) -> Vec<&str> {
    let has = |column: &Column| matches!(column, Column::Categories(_)) && column.n_present() > 0;
    let attributes = data.catalog.attributes().iter().filter(|attribute| has(&attribute.column));
    attributes.map(|attribute| attribute.name.as_str()).collect()
}
