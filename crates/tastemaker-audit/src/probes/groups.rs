//! Groups of users who are told apart by attributes.

use std::collections::BTreeMap;

use tastemaker_core::catalog::Column;
use tastemaker_core::people::{UserAttribute, UserAttributes};
use tastemaker_core::{Error, UserId};
use tastemaker_eval::significance::{student, unseen};

/// Where bands of ages begin: those of `MovieLens` 1M.
const AGES: [u8; 7] = [0, 18, 25, 35, 45, 50, 56];

/// Users who are alike in one attribute or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The value that they share; of several attributes all of them.
    pub value: String,
    /// Their places among the users that were asked for.
    pub members: Vec<usize>,
}

/// The attributes called `names`, or those that are sensitive where none is named; and for each name that
/// is none of an attribute what is wrong with it.
pub fn chosen<'a>(
    people: &'a UserAttributes,
    names: &'a [String],
) -> (Vec<&'a UserAttribute>, Vec<(&'a str, Error)>) {
    let all = people.attributes();
    if names.is_empty() {
        return (all.iter().filter(|attribute| attribute.sensitive).collect(), vec![]);
    }
    let known = || all.iter().map(|known| &known.attribute.name[..]);
    let wrong = names.iter().filter(|name| people.attribute(name).is_none());
    let wrong = wrong.map(|name| (&name[..], Error::unknown("attribute of users", name, known())));
    (names.iter().filter_map(|name| people.attribute(name)).collect(), wrong.collect())
}

/// The groups of `users` by `attributes`, with `least` members or more, by value; and how many users are in
/// none of them. By several attributes, a group is who shares a value of each. Numbers, and ages that are
/// written as categories, are told apart by the bands of ages of `MovieLens` 1M; who has several categories
/// is told apart by all of them together.
pub fn groups(
    attributes: &[&UserAttribute],
    users: &[UserId],
    least: usize,
) -> (Vec<Group>, usize) {
    let mut members: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for (place, user) in users.iter().enumerate() {
        let values: Option<Vec<String>> =
            attributes.iter().map(|attribute| value(attribute, *user)).collect();
        if let Some(values) = values {
            members.entry(values).or_default().push(place);
        }
    }
    let group = |(values, members): (Vec<String>, _)| Group { value: values.join(" × "), members };
    let all = members.into_iter().map(group);
    let groups: Vec<Group> = all.filter(|group| group.members.len() >= least.max(1)).collect();
    let inside: usize = groups.iter().map(|group| group.members.len()).sum();
    (groups, users.len() - inside)
}

/// The value by which `user` is told apart.
fn value(attribute: &UserAttribute, user: UserId) -> Option<String> {
    match &attribute.attribute.column {
        Column::Number(rows) => rows[user.index()].and_then(band),
        column => column.display(user.index()).and_then(|value| match value.parse() {
            Ok(age) if attribute.attribute.name.eq_ignore_ascii_case("age") => band(age),
            _ => Some(value),
        }),
    }
}

/// The band of an age; none of what is below 0, by which some say that it is not known.
fn band(age: f64) -> Option<String> {
    let next = AGES.iter().position(|&from| f64::from(from) > age).unwrap_or(AGES.len());
    let from = AGES[next.checked_sub(1)?];
    Some(match AGES.get(next) {
        Some(to) => format!("{from}–{}", to - 1),
        None => format!("{from} and more"),
    })
}

/// For each user the place of its group; `None` for users of none.
pub fn of_users(groups: &[Group], n_users: usize) -> Vec<Option<usize>> {
    let mut of = vec![None; n_users];
    for (place, group) in groups.iter().enumerate() {
        for &member in &group.members {
            of[member] = Some(place);
        }
    }
    of
}

/// The mean of `values` over the members of each of `n` groups that are in `sample`; not a number of none.
pub fn means(values: &[f64], of: &[Option<usize>], n: usize, sample: &[usize]) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; n], vec![0.0; n]);
    for &user in sample {
        if let Some(group) = of[user] {
            sums[group] += values[user];
            counts[group] += 1.0;
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| sum / count).collect()
}

/// How far groups' means are from each other.
///
/// # Formula
/// The mean over pairs of groups of the absolute difference of their means. From 0 on, 0 is equal. Chance
/// alone makes it larger than 0.
///
/// # References
/// `UserMADranking` of Elliot (Anelli et al. 2021), after Deldjoo et al. 2020.
pub fn mean_absolute_difference(means: &[f64]) -> f64 {
    let pairs = (1..means.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let (sum, n) =
        pairs.fold((0.0, 0.0), |(sum, n), (i, j)| (sum + (means[i] - means[j]).abs(), n + 1.0));
    sum / n
}

/// The places of the smallest and of the largest of `means`.
pub fn ends(means: &[f64]) -> Option<(usize, usize)> {
    let by = |a: &usize, b: &usize| means[*a].total_cmp(&means[*b]);
    Some(((0..means.len()).min_by(by)?, (0..means.len()).max_by(by)?))
}

/// The 95 % interval of the mean of group `best` less that of group `worst`, which were chosen from all.
///
/// # Formula
/// The difference ± `t √(vᵦ/nᵦ + v_w/n_w)`, with n the members of each and v the variance of their values (n
/// − 1), or that of all groups around their own means where it is larger: a small group of which nobody
/// found anything has none of its own, and is not known to find nothing. t is Student's for the smaller of
/// the two groups, and for all pairs of groups at once ([`student`]). Where all groups are each of one
/// mind, as far as those may go who were not drawn ([`unseen`]); values are from 0 to 1.
///
/// # References
/// Welch 1947 and Tukey and Kramer 1956 for the two variances, the larger taken.
pub fn gap_interval(values: &[f64], groups: &[Group], worst: usize, best: usize) -> [f64; 2] {
    let mean = |group: &Group| {
        group.members.iter().map(|&at| values[at]).sum::<f64>() / group.members.len() as f64
    };
    let squares = |group: &Group| {
        let mean = mean(group);
        group.members.iter().map(|&at| (values[at] - mean).powi(2)).sum::<f64>()
    };
    let inside: usize = groups.iter().map(|group| group.members.len()).sum();
    let free = inside.saturating_sub(groups.len()).max(1);
    let pooled = groups.iter().map(squares).sum::<f64>() / free as f64;
    let of_mean = |group: &Group| {
        let n = group.members.len() as f64;
        f64::max(squares(group) / f64::max(n - 1.0, 1.0), pooled) / n
    };
    let gap = mean(&groups[best]) - mean(&groups[worst]);
    let pairs = groups.len() * groups.len().saturating_sub(1) / 2;
    let sizes = [best, worst].map(|group| groups[group].members.len());
    if pooled == 0.0 {
        let width = sizes.map(unseen).iter().sum::<f64>();
        return [gap - width, gap + width];
    }
    let free = (sizes[0].min(sizes[1]) as f64 - 1.0).max(1.0);
    let width = student(free, pairs) * (of_mean(&groups[best]) + of_mean(&groups[worst])).sqrt();
    [gap - width, gap + width]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_apart_by_bands() {
        let bands = [17.0, 18.0, 49.9, 50.0, 56.0, 90.0].map(band);
        let expected = ["0–17", "18–24", "45–49", "50–55", "56 and more", "56 and more"];
        assert_eq!(bands, expected.map(|band| Some(band.to_owned())));
        assert_eq!(band(-1.0), None);
    }
}
