//! Whether users meet items more than once.

use std::collections::BTreeSet;

use tastemaker_core::ItemId;
use tastemaker_core::splits::Part;

use super::{Found, Subject, Verdict, percent};

/// Interactions with an item that the user met before, and targets that cannot be found since they are
/// left out as seen.
pub(super) fn unreachable(subject: &Subject<'_>) -> Found {
    let (data, split) = (&subject.data.dataset, subject.split);
    let interactions = &data.interactions;
    let distinct = |items: &[ItemId]| items.iter().collect::<BTreeSet<_>>().len();
    let repeated = |user| {
        let sequence = interactions.sequence(user);
        sequence.len() - distinct(sequence)
    };
    let repeats: usize = interactions.users().map(repeated).sum();
    if repeats == 0 {
        return Some((Verdict::Fine, "no user meets an item twice".to_owned()));
    }
    let share = percent(repeats as f64 / interactions.len() as f64);
    let (mut lost, mut targets) = (0, 0);
    for case in split.iter_cases(data, Part::Test) {
        targets += case.targets.len();
        lost += case.targets.iter().filter(|item| case.history.contains(item)).count();
    }
    Some(if lost == 0 || subject.study.evaluate.allow_seen {
        (
            Verdict::Note,
            format!("{share} of the interactions are with an item that the user met before"),
        )
    } else {
        let message = format!(
            "{lost} of {targets} test targets were met by their user before and cannot be found, since seen \
             items are left out ({share} of the interactions are repeats); set allow-seen under [evaluate], \
             or leave repeats out under [prepare]"
        );
        (Verdict::Warning, message)
    })
}
