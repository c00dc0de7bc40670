//! What a personal prompt is told of users.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use rand::seq::IndexedRandom;
use tastemaker_core::catalog::Column;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, SeedTree, UserId};

/// Parts into which numbers are divided.
const BINS: usize = 8;

/// What is known of each user of a data set, as numbers of values.
///
/// A value is a category of an attribute that a user has who is learnt from, or one of at most
/// eight ranges of numbers, which have about as many of these users each. Of what nobody has who is
/// learnt from, nothing is known.
#[derive(Clone, Debug)]
pub struct Profiles {
    n_values: usize,
    /// The numbers of the values of each attribute.
    attributes: Vec<(String, Range<u32>)>,
    of: Arc<[Vec<u32>]>,
}

impl Profiles {
    /// The values of these `attributes` of the users of `data`, of which `split` says who is learnt
    /// from.
    pub fn new(attributes: &[String], data: &Dataset, split: &SplitSets) -> Self {
        let learnt: Vec<usize> = data
            .interactions
            .users()
            .filter(|user| !split.train(data, *user).is_empty())
            .map(UserId::index)
            .collect();
        let (mut n_values, mut of) = (0, vec![Vec::new(); data.n_users()]);
        let mut ranges = Vec::new();
        let known = attributes.iter().filter_map(|name| data.people.attribute(name));
        for attribute in known.map(|known| &known.attribute) {
            let (n, numbers) = match &attribute.column {
                Column::Categories(rows) => categories(rows, &learnt),
                Column::Number(rows) => bins(rows, &learnt),
                Column::Text(_) => continue,
            };
            for (values, numbers) in of.iter_mut().zip(numbers) {
                values.extend(numbers.into_iter().map(|number| number_of(n_values + number)));
            }
            let range = number_of(n_values)..number_of(n_values + n);
            ranges.push((attribute.name.clone(), range));
            n_values += n;
        }
        Self { n_values, attributes: ranges, of: of.into() }
    }

    /// The same where everybody has other values of the attributes `names`, each as likely. Of whom
    /// nothing is known, nothing is known afterwards.
    #[must_use]
    pub fn exchanged(&self, names: &[String], seeds: &SeedTree) -> Self {
        let mut of = self.of.to_vec();
        for (name, range) in self.attributes.iter().filter(|(name, _)| names.contains(name)) {
            let mut rng = seeds.child(name).rng();
            for values in &mut of {
                let own = values.clone();
                let others: Vec<u32> = range.clone().filter(|value| !own.contains(value)).collect();
                for value in values.iter_mut().filter(|value| range.contains(value)) {
                    *value = others.choose(&mut rng).copied().unwrap_or(*value);
                }
            }
        }
        Self { of: of.into(), ..self.clone() }
    }

    /// How many values there are.
    pub fn n_values(&self) -> usize {
        self.n_values
    }

    /// What is known of `user`; nothing of one that the data does not have.
    pub fn of(&self, user: Option<UserId>) -> &[u32] {
        user.and_then(|user| self.of.get(user.index())).map_or(&[], Vec::as_slice)
    }
}

fn number_of(value: usize) -> u32 {
    u32::try_from(value).expect("values are fewer than users and categories, numbered in 32 bits")
}

/// How many categories the `learnt` rows have, and for each row those of them that it has.
fn categories(rows: &[Vec<String>], learnt: &[usize]) -> (usize, Vec<Vec<usize>>) {
    let known = learnt.iter().filter_map(|&row| rows.get(row)).flatten();
    let known: BTreeSet<&String> = known.collect();
    let known: Vec<&String> = known.into_iter().collect();
    let number = |name: &String| known.binary_search(&name).ok();
    (known.len(), rows.iter().map(|names| names.iter().filter_map(number).collect()).collect())
}

/// How many ranges there are of the numbers of the `learnt` rows, and for each row its own.
fn bins(rows: &[Option<f64>], learnt: &[usize]) -> (usize, Vec<Vec<usize>>) {
    let mut known: Vec<f64> =
        learnt.iter().filter_map(|&row| rows.get(row).copied().flatten()).collect();
    if known.is_empty() {
        return (0, vec![Vec::new(); rows.len()]);
    }
    known.sort_by(f64::total_cmp);
    let mut bounds: Vec<f64> = (1..BINS).map(|i| known[i * known.len() / BINS]).collect();
    // Nothing is below the smallest number, nor between two that are the same.
    bounds.retain(|bound| *bound > known[0]);
    bounds.dedup();
    let number = |number: &f64| bounds.partition_point(|bound| bound <= number);
    (bounds.len() + 1, rows.iter().map(|row| row.iter().map(number).collect()).collect())
}

/// The names of the attributes of the users of `data` that a profile can be made of.
pub fn profile_attributes(data: &Dataset) -> Vec<&str> {
    let all = data.people.attributes().iter().map(|attribute| &attribute.attribute);
    let usable = all.filter(|attribute| !matches!(attribute.column, Column::Text(_)));
    usable.map(|attribute| attribute.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_divided_evenly_categories_are_of_who_is_learnt_from_and_can_be_exchanged() {
        let rows: Vec<Option<f64>> = (0..16).map(|i| (i != 5).then(|| f64::from(i))).collect();
        let learnt: Vec<usize> = (0..16).collect();
        let (n, numbers) = bins(&rows, &learnt);
        assert_eq!(n, 8);
        assert!(numbers[5].is_empty());
        assert_eq!([0, 1, 2, 6, 15].map(|row| numbers[row][0]), [0, 1, 1, 3, 7]);
        // Ranges are those of who is learnt from; beyond them the nearest counts.
        let (n, numbers) = bins(&rows, &[2, 3]);
        assert_eq!(
            (n, &numbers[0][..], &numbers[3][..], &numbers[15][..]),
            (2, &[0][..], &[1][..], &[1][..])
        );
        assert_eq!(bins(&[Some(3.0); 4], &[0, 1, 2, 3]).0, 1);
        assert_eq!(bins(&rows, &[5]), (0, vec![vec![]; 16]));

        let attributes = vec![("age".to_owned(), 0..3), ("gender".to_owned(), 3..5)];
        let of = vec![vec![0, 3], vec![4], vec![2], vec![]].into();
        let own = Profiles { n_values: 5, attributes, of };
        let other = own.exchanged(&["gender".to_owned()], &SeedTree::new(1));
        assert_eq!(other.of[..], [vec![0, 4], vec![3], vec![2], vec![]]);
        let other = own.exchanged(&["age".to_owned()], &SeedTree::new(1));
        assert!([1, 2].contains(&other.of[0][0]) && [0, 1].contains(&other.of[2][0]));
        assert_eq!((other.of[0][1], &other.of[1][..], other.of[3].len()), (3, &[4][..], 0));

        let row = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let rows: Vec<Vec<String>> = vec![row(&["b"]), row(&[]), row(&["a", "b"]), row(&["c"])];
        let (n, numbers) = categories(&rows, &[0, 1, 2]);
        assert_eq!((n, numbers), (2, vec![vec![1], vec![], vec![0, 1], vec![]]));
    }
}
