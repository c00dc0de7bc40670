//! Whether every arm had the same chance to find its settings.

use super::{Found, Subject, Verdict};

/// The trials of the search that each arm had.
pub(super) fn budgets(subject: &Subject<'_>) -> Found {
    let Some(search) = &subject.study.search else {
        let message = "no settings were searched for; each arm is as it was written".to_owned();
        return Some((Verdict::Note, message));
    };
    let without = subject.study.arm.iter().filter(|arm| arm.space.is_empty());
    let without: Vec<&str> = without.map(|arm| &arm.name[..]).collect();
    Some(if without.is_empty() {
        let message =
            format!("every arm had {} trials, judged over the validation targets", search.trials);
        (Verdict::Fine, message)
    } else {
        let message = format!(
            "these arms were not searched, while the others had {} trials: {}",
            search.trials,
            without.join(", ")
        );
        (Verdict::Warning, message)
    })
}
