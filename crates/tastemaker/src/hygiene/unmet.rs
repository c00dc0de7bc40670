//! Whether targets are items that nobody met in training.

use tastemaker_core::splits::Part;

use super::{Found, Subject, Verdict, percent};

/// Test targets that nobody met in the training part.
pub(super) fn targets(subject: &Subject<'_>) -> Found {
    let (data, split) = (&subject.data.dataset, subject.split);
    let popularity = split.train_popularity(data);
    let (mut unmet, mut targets) = (0, 0);
    for case in split.iter_cases(data, Part::Test) {
        targets += case.targets.len();
        unmet += case.targets.iter().filter(|item| popularity[item.index()] == 0).count();
    }
    Some(if unmet == 0 {
        (Verdict::Fine, "every test target was met by somebody in training".to_owned())
    } else {
        let share = percent(unmet as f64 / f64::from(u32::try_from(targets).unwrap_or(u32::MAX)));
        let message = format!(
            "{unmet} test targets ({share}) are items that nobody met in training, which a model that knows \
             items by number alone cannot find"
        );
        (Verdict::Note, message)
    })
}
