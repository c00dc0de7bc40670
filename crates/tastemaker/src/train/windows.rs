//! Stretches of users' sequences, and who of the users is met how often.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::people::UserAttributes;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, SeedTree, UserId};

/// A stretch of a user's training part.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Whose.
    pub user: UserId,
    /// Where it begins in the user's sequence.
    pub first: usize,
    /// The items, oldest first.
    pub items: &'a [ItemId],
}

/// What is learnt from: the training part of every user, cut into windows.
///
/// A window holds at most `longest` items. Longer histories are cut from the end, so that only
/// the oldest window is short; windows of one item teach nothing and are left out. The windows
/// borrow the data set, so an epoch copies no interactions.
pub struct Windows<'a> {
    windows: Vec<Window<'a>>,
    /// Those of groups of users that are met equally often, if any are, and the others.
    balanced: Option<(Vec<Vec<Window<'a>>>, Vec<Window<'a>>)>,
}

impl<'a> Windows<'a> {
    /// The windows of the training part.
    pub fn new(data: &'a Dataset, split: &SplitSets, longest: usize) -> Self {
        let windows = data
            .interactions
            .users()
            .flat_map(|user| {
                let train = split.train(data, user);
                let ends = train.rchunks(longest).scan(train.len(), |end, items| {
                    *end -= items.len();
                    Some((*end, items))
                });
                ends.map(move |(first, items)| Window { user, first, items })
            })
            .filter(|window| window.items.len() >= 2)
            .collect();
        Self { windows, balanced: None }
    }

    /// Without those that are shorter than `least`.
    #[must_use]
    pub fn of_at_least(mut self, least: usize) -> Self {
        self.windows.retain(|window| window.items.len() >= least);
        self
    }

    /// Sequences as they are, each a user's by its number.
    pub fn of(sequences: &'a [Vec<ItemId>]) -> Self {
        let window = |(user, items): (u32, &'a Vec<ItemId>)| Window {
            user: UserId(user),
            first: 0,
            items: &items[..],
        };
        Self { windows: (0..).zip(sequences).map(window).collect(), balanced: None }
    }

    /// The same, met equally often by each value of an attribute of `people`, if one is named.
    ///
    /// An epoch has as many windows as before. Those of users of whom no value is known are met once,
    /// as before; of the rest every value has the same share: all windows of its users as often as
    /// they go into it, and then some of them, drawn anew each epoch. Users with several values are
    /// a group by all of them together.
    #[must_use]
    pub fn balanced(mut self, attribute: Option<&str>, people: &UserAttributes) -> Self {
        let Some(attribute) = attribute else { return self };
        let mut groups: BTreeMap<&[String], Vec<Window<'a>>> = BTreeMap::new();
        for window in &self.windows {
            groups.entry(people.categories(attribute, window.user)).or_default().push(*window);
        }
        let unknown = groups.remove(&[][..]).unwrap_or_default();
        self.balanced = Some((groups.into_values().collect(), unknown));
        self
    }

    /// All of them.
    pub fn in_order(&self) -> &[Window<'a>] {
        &self.windows
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Users that have any.
    pub fn n_users(&self) -> usize {
        self.by_user().count()
    }

    /// All of each user that has any.
    pub fn by_user(&self) -> impl Iterator<Item = &[Window<'a>]> {
        // Those of a user stand together.
        self.windows.chunk_by(|a, b| a.user == b.user)
    }

    /// Items in all of them.
    pub fn n_tokens(&self) -> usize {
        self.windows.iter().map(|window| window.items.len()).sum()
    }

    /// Whether there is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The order of an epoch.
    pub fn shuffled(&self, seeds: &SeedTree) -> Vec<Window<'a>> {
        let mut rng = seeds.rng();
        let mut order = match &self.balanced {
            Some((groups, others)) => drawn(groups, others, &mut rng),
            None => self.windows.clone(),
        };
        order.shuffle(&mut rng);
        order
    }
}

/// As many windows as there are: the `others`, and of each group as many as of every other, or one
/// more where that does not come out even.
fn drawn<'a>(
    groups: &[Vec<Window<'a>>],
    others: &[Window<'a>],
    rng: &mut ChaCha8Rng,
) -> Vec<Window<'a>> {
    let n: usize = groups.iter().map(Vec::len).sum();
    let mut order = others.to_vec();
    for (i, group) in groups.iter().enumerate() {
        let mut left = n / groups.len() + usize::from(i < n % groups.len());
        let mut group = group.clone();
        while left > 0 {
            group.shuffle(rng);
            let some = &group[..left.min(group.len())];
            order.extend(some);
            left -= some.len();
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use tastemaker_core::catalog::{Attribute, Column};
    use tastemaker_core::people::UserAttribute;

    use super::*;

    #[test]
    fn every_value_is_met_equally_often_and_who_has_none_once() {
        let items = [ItemId(0); 2];
        let of = |user: u32| vec![["a", "b", "c"][(user % 7 / 3) as usize].to_owned()];
        let mut rows: Vec<Vec<String>> = (0..70).map(of).collect();
        rows[..5].fill(vec![]);
        let attribute =
            Attribute { name: "group".to_owned(), column: Column::Categories(rows.clone()) };
        let people = UserAttributes::new(vec![UserAttribute { attribute, sensitive: true }]);
        let window = |user| Window { user: UserId(user), first: 0, items: &items };
        let windows = Windows { windows: (0..70).map(window).collect(), balanced: None };
        let windows = windows.balanced(Some("group"), &people);
        let met = |seed: u64| {
            let mut met = vec![0; 70];
            windows.shuffled(&SeedTree::new(seed)).iter().for_each(|w| met[w.user.index()] += 1);
            met
        };
        let (one, other): (Vec<usize>, Vec<usize>) = (met(1), met(2));
        for met in [&one, &other] {
            let of = |value: &[&str]| {
                let rows = rows.iter().zip(met).filter(|(row, _)| *row == value);
                rows.map(|(_, n)| *n).collect::<Vec<usize>>()
            };
            assert_eq!(of(&[]), [1; 5]);
            // 65 windows of three values.
            assert_eq!([["a"], ["b"], ["c"]].map(|v| of(&v).iter().sum::<usize>()), [22, 22, 21]);
            // Ten windows of c make 21: all of them twice, and one of them once more.
            let c = of(&["c"]);
            assert!(c.len() == 10 && c.iter().all(|n| [2, 3].contains(n)), "{c:?}");
        }
        assert_ne!(one, other);
        assert_eq!(one, met(1));
    }
}
