//! A data set of some of its users.

use super::Prepared;
use super::hash;
use super::manifest::{Counts, Manifest, Step};
use crate::artifact::sha256;
use crate::catalog::Attribute;
use crate::dataset::Dataset;
use crate::ids::UserId;
use crate::interactions::Interactions;
use crate::people::{UserAttribute, UserAttributes};

/// What is known of `users` alone, who are numbered in this order; the catalog is the same, with items
/// that nobody is left to have met.
pub fn of_users(data: &Dataset, users: &[UserId]) -> Dataset {
    let interactions = &data.interactions;
    let rows: Vec<usize> = users.iter().flat_map(|user| interactions.range(*user)).collect();
    let lengths = users.iter().map(|user| interactions.range(*user).len());
    let ends = lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    let offsets = std::iter::once(0).chain(ends).collect();
    let select = |attribute: &Attribute, rows: &[usize]| Attribute {
        name: attribute.name.clone(),
        column: attribute.column.select(rows),
    };
    let texts = interactions.texts().iter().map(|texts| select(texts, &rows)).collect();
    let of_rows = Interactions::from_columns(
        offsets,
        rows.iter().map(|&row| interactions.all_items()[row]).collect(),
        interactions.all_times().map(|times| rows.iter().map(|&row| times[row]).collect()),
        interactions.all_values().map(|values| rows.iter().map(|&row| values[row]).collect()),
    );
    let numbers: Vec<usize> = users.iter().map(|user| user.index()).collect();
    let people = data.people.attributes().iter().map(|known| UserAttribute {
        attribute: select(&known.attribute, &numbers),
        sensitive: known.sensitive,
    });
    let selected = Dataset {
        users: numbers.iter().filter_map(|&user| data.users.id(user)).collect(),
        interactions: of_rows.with_texts(texts),
        people: UserAttributes::new(people.collect()),
        ..data.clone()
    };
    Dataset { hash: hash::content(&selected), ..selected }
}

/// The data without the users `gone`: nothing is prepared anew, so the catalog and the numbers of items are
/// those that they were. The manifest says how many they were and the SHA-256 of their ids, ascending and
/// a line each: whoever can guess ids can tell by it who they were.
pub fn without(prepared: &Prepared, gone: &[UserId]) -> Prepared {
    let data = &prepared.dataset;
    let left: Vec<UserId> = data.interactions.users().filter(|user| !gone.contains(user)).collect();
    let dataset = of_users(data, &left);
    let mut ids: Vec<&str> = gone.iter().filter_map(|user| data.users.id(user.index())).collect();
    ids.sort_unstable();
    let hash = sha256(ids.join("\n").as_bytes());
    let counts = Counts {
        users: dataset.n_users(),
        items: dataset.n_items(),
        interactions: dataset.interactions.len(),
    };
    let what = format!("{} users unlearnt, SHA-256 of their ids {hash}", ids.len());
    let mut manifest = Manifest { hash: dataset.hash.clone(), counts, ..prepared.manifest.clone() };
    manifest.steps.push(Step::new("unlearn", what, counts));
    Prepared { dataset, manifest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::{PrepareOptions, prepare, read, write};
    use crate::sources::{AnySource, Synthetic};

    fn data() -> Prepared {
        let source =
            AnySource::Synthetic(Synthetic { users: 30, items: 100, ..Synthetic::default() });
        prepare(&source, &PrepareOptions::default()).unwrap()
    }

    #[test]
    fn what_is_known_of_a_user_goes_along_and_all_else_stays() {
        let Prepared { dataset: data, .. } = data();
        let selected = of_users(&data, &[UserId(7), UserId(3)]);
        assert_eq!(
            selected.users.iter().collect::<Vec<_>>(),
            [7, 3].map(|u| data.users.id(u).unwrap())
        );
        for (new, old) in [(UserId(0), UserId(7)), (UserId(1), UserId(3))] {
            assert_eq!(selected.interactions.sequence(new), data.interactions.sequence(old));
            assert_eq!(selected.interactions.times(new), data.interactions.times(old));
            assert_eq!(selected.interactions.values(new), data.interactions.values(old));
            for (new_known, known) in
                selected.people.attributes().iter().zip(data.people.attributes())
            {
                let display = |known: &UserAttribute, user: UserId| {
                    known.attribute.column.display(user.index())
                };
                assert_eq!(display(new_known, new), display(known, old));
            }
        }
        assert_eq!((&selected.items, &selected.catalog), (&data.items, &data.catalog));
        let everybody: Vec<UserId> = data.interactions.users().collect();
        assert_eq!(of_users(&data, &everybody), data);
    }

    #[test]
    fn data_without_users_is_read_back_and_says_how_many_left_and_not_who() {
        let (before, folder) = (data(), tempfile::tempdir().unwrap());
        let after = without(&before, &[UserId(2), UserId(5)]);
        write(&after, &folder.path().join("data"), false).unwrap();
        let back = read(&folder.path().join("data")).unwrap();
        assert_eq!(back.dataset, after.dataset);
        assert_eq!(back.manifest.counts.users, 28);
        let step = back.manifest.steps.last().unwrap();
        let hash = sha256(
            format!(
                "{}\n{}",
                before.dataset.users.id(2).unwrap(),
                before.dataset.users.id(5).unwrap()
            )
            .as_bytes(),
        );
        assert_eq!(step.what, format!("2 users unlearnt, SHA-256 of their ids {hash}"));
        assert_eq!(after.dataset.users.get(before.dataset.users.id(2).unwrap()), None);
    }
}
