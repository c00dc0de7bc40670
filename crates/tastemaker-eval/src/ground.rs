//! What metrics may know beside a list and its targets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tastemaker_core::catalog::Column;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId};

use crate::metrics::{AnyMetric, Need};

/// What is known of the items that lists name: from the training part how often they were met, from the
/// catalog what they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ground {
    n_users: usize,
    popularity: Vec<u32>,
    /// For each item how many different numbers of users there are that have met one at least as often.
    ranks: Vec<u32>,
    /// For each item the share of the training part's interactions that is with more popular ones.
    before: Vec<f64>,
    /// For each attribute with categories those of each item, ascending; numbers ascend with attributes.
    categories: Vec<(String, Vec<Vec<u32>>)>,
    embedded: Vec<Arc<Embedded>>,
    /// Whether there is a training part to know of.
    trained: bool,
    /// Whether its items are all that could be recommended.
    whole: bool,
}

/// An embedding of each item of a catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// What they were made by, as metrics name it.
    pub model: PathBuf,
    /// Width of an embedding.
    pub width: usize,
    /// [items, width].
    pub values: Vec<f32>,
}

impl Embedded {
    /// The embedding of `item`.
    pub fn of(&self, item: ItemId) -> &[f32] {
        &self.values[item.index() * self.width..][..self.width]
    }
}

/// What is known of one user's list.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// What the user met before.
    pub history: &'a [ItemId],
    /// Items that could have been ranked, those that were seen among them.
    pub candidates: usize,
    /// Items of those that were left out since they were seen; one can stand there twice.
    pub seen: &'a [ItemId],
    /// What is known of items.
    pub ground: &'a Ground,
}

impl About<'_> {
    /// Items among which the list was ranked.
    pub fn n_candidates(&self) -> usize {
        let seen: BTreeSet<ItemId> = self.seen.iter().copied().collect();
        self.candidates - seen.len()
    }
}

impl Ground {
    /// What the training part of `split` and the catalog of `data` say.
    pub fn new(data: &Dataset, split: &SplitSets) -> Self {
        let users = data.interactions.users();
        let n_users = users.filter(|user| !split.train(data, *user).is_empty()).count();
        let mut ground = Self::of_popularity(split.train_popularity(data), n_users);
        let mut first = 0;
        for attribute in data.catalog.attributes() {
            if let Column::Categories(rows) = &attribute.column {
                let (numbers, n) = numbered(rows, first);
                ground.categories.push((attribute.name.clone(), numbers));
                first += n;
            }
        }
        ground
    }

    /// What is known where each item was met so often, by `n_users` users in all, and nothing is
    /// written about items.
    pub fn of_popularity(popularity: Vec<u32>, n_users: usize) -> Self {
        let mut order: Vec<usize> = (0..popularity.len()).collect();
        order.sort_by_key(|&item| std::cmp::Reverse(popularity[item]));
        let total = popularity.iter().map(|&n| f64::from(n)).sum::<f64>().max(1.0);
        let (mut ranks, mut before) = (vec![0; popularity.len()], vec![0.0; popularity.len()]);
        let (mut rank, mut sum) = (0, 0.0);
        for alike in order.chunk_by(|&a, &b| popularity[a] == popularity[b]) {
            rank += 1;
            for &item in alike {
                (ranks[item], before[item]) = (rank, sum / total);
            }
            sum += f64::from(popularity[alike[0]]) * alike.len() as f64;
        }
        let (categories, embedded) = (vec![], vec![]);
        Self {
            n_users,
            popularity,
            ranks,
            before,
            categories,
            embedded,
            trained: true,
            whole: true,
        }
    }

    /// The same, where embeddings of the items are known too.
    #[must_use]
    pub fn embedded(self, embedded: Vec<Arc<Embedded>>) -> Self {
        Self { embedded, ..self }
    }

    /// What is known where there are lists and targets and nothing else, which name `n_items`; whether
    /// those are the `whole` catalog.
    pub fn of_lists(n_items: usize, whole: bool) -> Self {
        let trained = false;
        Self { trained, whole, ..Self::of_popularity(vec![0; n_items], 0) }
    }

    /// Why `metric` cannot be taken of lists from elsewhere by what is known, if it cannot.
    pub fn lacks(&self, metric: &AnyMetric) -> Option<String> {
        let of = metric.as_dyn();
        // Whether items that nobody is recommended change anything, or those below the list.
        let of_catalog =
            of.of_exposure(&[1, 0]) != of.of_exposure(&[1]) || of.depth(1) == usize::MAX;
        let reason = match of.needs() {
            Need::Categories(_) if self.categories.is_empty() => "no categories of items are known",
            Need::Popularity if !self.trained => "how often items were met before is not known",
            Need::Embeddings(model) if self.embeddings(model).is_none() => {
                "the texts of items are not known"
            }
            _ if of_catalog && !self.whole => "how many items the catalog has is not known",
            _ => return None,
        };
        Some(reason.to_owned())
    }

    /// Users with anything in the training part.
    pub fn n_users(&self) -> usize {
        self.n_users
    }

    /// Items in the catalog.
    pub fn n_items(&self) -> usize {
        self.popularity.len()
    }

    /// How often `item` was met in the training part.
    pub fn popularity(&self, item: ItemId) -> u32 {
        self.popularity[item.index()]
    }

    /// The rank of `item` by popularity, from 1; those that were met as often share one.
    pub fn rank(&self, item: ItemId) -> u32 {
        self.ranks[item.index()]
    }

    /// Whether more popular items have at least the share `head` of the training part's interactions.
    pub fn is_long_tail(&self, item: ItemId, head: f64) -> bool {
        self.before[item.index()] >= head
    }

    /// The categories of `item` of one attribute, or of all, by number, ascending.
    pub fn categories<'a>(
        &'a self,
        item: ItemId,
        attribute: Option<&'a str>,
    ) -> impl Iterator<Item = u32> + 'a {
        let wanted = move |name: &str| attribute.is_none_or(|wanted| wanted == name);
        let columns = self.categories.iter().filter(move |(name, _)| wanted(name));
        columns.flat_map(move |(_, rows)| rows[item.index()].iter().copied())
    }

    /// The share that each category of one attribute, or of all, has of `items`: one with n categories
    /// gives each 1/n. Nothing where no item has any.
    pub fn mix(&self, items: &[ItemId], attribute: Option<&str>) -> BTreeMap<u32, f64> {
        let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
        let mut total = 0.0;
        for item in items {
            let own: Vec<u32> = self.categories(*item, attribute).collect();
            total += f64::from(u8::from(!own.is_empty()));
            for category in &own {
                *shares.entry(*category).or_default() += 1.0 / own.len() as f64;
            }
        }
        for share in shares.values_mut() {
            *share /= total;
        }
        shares
    }

    /// The embeddings of the items that `model` made, if they are known.
    pub fn embeddings(&self, model: &Path) -> Option<&Embedded> {
        self.embedded.iter().find(|embedded| embedded.model == model).map(|embedded| &**embedded)
    }

    /// Whether anything is known of categories, of one attribute or of any.
    pub fn has_categories(&self, attribute: Option<&str>) -> bool {
        let wanted = |name: &str| attribute.is_none_or(|wanted| wanted == name);
        let has = |(name, rows): &(String, Vec<Vec<u32>>)| {
            wanted(name) && rows.iter().any(|row| !row.is_empty())
        };
        self.categories.iter().any(has)
    }
}

/// The categories of each item as numbers from `first` on, each once, ascending; and how many there are.
fn numbered(rows: &[Vec<String>], first: u32) -> (Vec<Vec<u32>>, u32) {
    let values: BTreeMap<&str, u32> = {
        let all: BTreeSet<&str> = rows.iter().flatten().map(String::as_str).collect();
        all.into_iter().zip(first..).collect()
    };
    let of_row = |row: &Vec<String>| {
        let mut own: Vec<u32> = row.iter().map(|value| values[value.as_str()]).collect();
        own.sort_unstable();
        own.dedup();
        own
    };
    let n = u32::try_from(values.len()).expect("fewer than 2^32 categories");
    (rows.iter().map(of_row).collect(), n)
}
