//! Whether models learn from what was still to come.

use tastemaker_core::splits::Part;

use super::{Found, Subject, Verdict, percent};

/// The share of the training part that is later than a test target, a mean over the targets (Ji et al.
/// 2023).
pub(super) fn later_than_targets(subject: &Subject<'_>) -> Found {
    let (data, split) = (&subject.data.dataset, subject.split);
    let interactions = &data.interactions;
    interactions.all_times()?;
    let (mut learnt, mut targets) = (Vec::new(), Vec::new());
    for user in interactions.users() {
        let times = interactions.times(user)?;
        let place = |range: &std::ops::Range<u32>| range.start as usize..range.end as usize;
        learnt.extend_from_slice(&times[..split.train(data, user).len()]);
        targets.extend_from_slice(&times[place(split.cuts(user).targets(Part::Test))]);
    }
    if learnt.is_empty() || targets.is_empty() {
        return None;
    }
    learnt.sort_by(f64::total_cmp);
    let later = |target: &f64| learnt.len() - learnt.partition_point(|time| time <= target);
    let later: usize = targets.iter().map(later).sum();
    let share = later as f64 / learnt.len() as f64 / targets.len() as f64;
    Some(if later == 0 {
        (Verdict::Fine, "nothing that is learnt from is later than a test target".to_owned())
    } else {
        let share = percent(share);
        let message = format!(
            "{share} of what is learnt from is later than a test target (mean over the targets), so models \
             know of fashions that were still to come; [split.global-temporal] has none of it"
        );
        (Verdict::Note, message)
    })
}
