//! How arms do for groups of users.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tastemaker_core::catalog::Column;
use tastemaker_core::splits::{EvalCase, Part};
use tastemaker_core::{Dataset, UserId};

use super::comparing::Averages;
use crate::hygiene::Subject;

/// Groups that a number is divided into.
const PARTS: usize = 3;

/// Most groups of an attribute; one with more tells too little of each.
const MOST_GROUPS: usize = 25;

/// Fewest users of a group whose mean is told.
const FEWEST_USERS: usize = 10;

/// A metric by groups of users.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grouping {
    /// What users are told apart by.
    pub by: String,
    /// The metric, over the test targets.
    pub metric: String,
    /// The groups.
    pub groups: Vec<Group>,
}

/// The users of a group, and the mean of each arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// What its users have in common.
    pub group: String,
    /// How many they are; of arms that were asked about different users, the fewest.
    pub n_users: usize,
    /// The mean of each arm over them, in the order of the arms.
    pub means: Vec<f64>,
}

/// The groups of each user, by its outside id.
type Groups<'a> = BTreeMap<&'a str, String>;

/// The metric by how much of a user is known, by how popular the targets are, and by what is known about
/// users.
pub(super) fn groupings(
    subject: &Subject<'_>,
    metric: &str,
    averages: &[Averages],
) -> Vec<Grouping> {
    let (data, split) = (&subject.data.dataset, subject.split);
    let popularity = split.train_popularity(data);
    let cases = split.cases(data, Part::Test);
    let popular = |case: &EvalCase<'_>| {
        let met = case.targets.iter().map(|item| f64::from(popularity[item.index()]));
        met.sum::<f64>() / case.targets.len() as f64
    };
    let mut by = vec![
        ("length of the history".to_owned(), parts(data, &cases, |case| case.history.len() as f64)),
        ("popularity of the targets".to_owned(), parts(data, &cases, popular)),
    ];
    for attribute in data.people.attributes() {
        by.extend(
            groups_of(data, &cases, &attribute.attribute.column)
                .map(|groups| (attribute.attribute.name.clone(), groups)),
        );
    }
    let of = |(by, groups): (String, Groups<'_>)| grouping(by, metric, &groups, averages);
    by.into_iter().filter_map(of).collect()
}

/// The mean of each arm over each group; nothing of fewer than two groups.
fn grouping(
    by: String,
    metric: &str,
    groups: &Groups<'_>,
    averages: &[Averages],
) -> Option<Grouping> {
    // Of each arm how many users of a group it was asked about, and their sum.
    let mut sums: BTreeMap<&str, Vec<(usize, f64)>> = BTreeMap::new();
    for (arm, values) in averages.iter().enumerate() {
        for (user, value) in values.values(metric)? {
            let Some(group) = groups.get(user) else { continue };
            let sums = sums.entry(group).or_insert_with(|| vec![(0, 0.0); averages.len()]);
            sums[arm] = (sums[arm].0 + 1, sums[arm].1 + value);
        }
    }
    let fewest = |sums: &[(usize, f64)]| sums.iter().map(|(n, _)| *n).min().unwrap_or(0);
    let told = sums.into_iter().filter(|(_, sums)| fewest(sums) >= FEWEST_USERS);
    let groups = told.map(|(group, sums)| Group {
        group: group.to_owned(),
        n_users: fewest(&sums),
        means: sums.into_iter().map(|(n, sum)| sum / n as f64).collect(),
    });
    let groups: Vec<Group> = groups.collect();
    (groups.len() > 1).then(|| Grouping { by, metric: metric.to_owned(), groups })
}

/// Users in parts of about the same size by a number; those with the same number are together.
fn parts<'a>(
    data: &'a Dataset,
    cases: &[EvalCase<'_>],
    number: impl Fn(&EvalCase<'_>) -> f64,
) -> Groups<'a> {
    let mut numbers: Vec<f64> = cases.iter().map(&number).collect();
    numbers.sort_by(f64::total_cmp);
    let part = |value: f64| {
        let below = numbers.partition_point(|other| *other < value);
        below * PARTS / numbers.len()
    };
    // From and to what number each part goes.
    let mut ends: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for &value in &numbers {
        ends.entry(part(value)).or_insert((value, value)).1 = value;
    }
    let name = |case: &EvalCase<'_>| {
        let part = part(number(case));
        let (from, to) = ends[&part];
        // The number of the part puts the groups into order.
        let range = if from.total_cmp(&to).is_eq() {
            format!("{from:.0}")
        } else {
            format!("{from:.0} to {to:.0}")
        };
        (id(data, case.user), format!("{}: {range}", part + 1))
    };
    cases.iter().map(name).collect()
}

/// Users by the values of an attribute that has few of them.
fn groups_of<'a>(data: &'a Dataset, cases: &[EvalCase<'_>], column: &Column) -> Option<Groups<'a>> {
    if let Column::Number(numbers) = column {
        let number = |case: &EvalCase<'_>| numbers[case.user.index()].unwrap_or(f64::NAN);
        let known: Vec<EvalCase<'_>> =
            cases.iter().filter(|case| !number(case).is_nan()).copied().collect();
        return (!known.is_empty()).then(|| parts(data, &known, number));
    }
    let value = |case: &EvalCase<'_>| column.display(case.user.index());
    let distinct: BTreeSet<String> = cases.iter().filter_map(value).collect();
    let named = |case: &EvalCase<'_>| Some((id(data, case.user), value(case)?));
    (distinct.len() <= MOST_GROUPS).then(|| cases.iter().filter_map(named).collect())
}

fn id(data: &Dataset, user: UserId) -> &str {
    data.users.id(user.index()).unwrap_or_default()
}
