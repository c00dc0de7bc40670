//! How the numbers are taken.

use std::collections::BTreeSet;

use tastemaker_core::splits::Part;

use super::{Found, Subject, Verdict, percent};

/// Test users below which intervals are wide.
const FEW_USERS: usize = 1000;

/// Lists with equal scores from which on they are worth a warning.
const MANY_TIES: f64 = 0.1;

/// Whether targets are ranked among a sample.
pub(super) fn sampled(subject: &Subject<'_>) -> Found {
    Some(match subject.study.evaluate.sampled {
        0 => (Verdict::Fine, "targets are ranked over the whole catalog".to_owned()),
        n => {
            let which = match &subject.study.evaluate.candidates {
                Some(path) => format!("of a user's items in {}", path.display()),
                None => "sampled items".to_owned(),
            };
            let message = format!(
                "targets are ranked among {n} {which}; such metrics can put recommenders in another \
                 order than the whole catalog does (Krichene and Rendle 2020)"
            );
            (Verdict::Warning, message)
        }
    })
}

/// Whether all runs were asked for the same.
pub(super) fn candidates(subject: &Subject<'_>) -> Found {
    let results = subject.results;
    let of_test = results.iter().map(|(result, _)| &result.test);
    let protocols: BTreeSet<(&str, Option<usize>)> = of_test
        .map(|test| (&test.protocol[..], test.metrics.first().map(|value| value.n_users)))
        .collect();
    let splits: BTreeSet<&str> = results.iter().map(|(result, _)| &result.split_hash[..]).collect();
    match (protocols.len(), splits.len()) {
        (0, _) => None,
        (1, 1) => {
            let message = "all runs rank the same candidates for the same targets".to_owned();
            Some((Verdict::Fine, message))
        }
        _ => {
            let message =
                "runs were not asked for the same targets among the same candidates".to_owned();
            Some((Verdict::Warning, message))
        }
    }
}

/// Whether lists hold equal scores, so that chance orders them.
pub(super) fn ties(subject: &Subject<'_>) -> Found {
    let mut arms: Vec<(&str, f64)> = Vec::new();
    for (result, _) in subject.results {
        let ties = result.test.ties?;
        match arms.iter_mut().find(|(arm, _)| *arm == result.arm) {
            Some((_, most)) => *most = most.max(ties),
            None => arms.push((&result.arm, ties)),
        }
    }
    if arms.is_empty() {
        return None;
    }
    let of = |(arm, ties): &(&str, f64)| format!("{arm} {}", percent(*ties));
    let tied: Vec<String> = arms.iter().filter(|(_, ties)| *ties >= MANY_TIES).map(of).collect();
    Some(if tied.is_empty() {
        let most = arms.iter().map(|(_, ties)| *ties).fold(0.0, f64::max);
        let message = format!("at most {} of an arm's lists hold equal scores", percent(most));
        (Verdict::Fine, message)
    } else {
        let message = format!(
            "lists with equal scores, ordered by lot and never by the catalog: {}",
            tied.join(", ")
        );
        (Verdict::Note, message)
    })
}

/// Whether there are enough users.
pub(super) fn users(subject: &Subject<'_>) -> Found {
    let all = subject.split.iter_cases(&subject.data.dataset, Part::Test).count();
    let tested = subject.results.iter().filter_map(|(result, _)| result.test.metrics.first());
    let n = match (tested.map(|value| value.n_users).min(), subject.study.evaluate.users) {
        (Some(tested), _) => tested,
        (None, 0) => all,
        (None, asked) => asked.min(all),
    };
    Some(if n < FEW_USERS {
        let half = 0.98 / (n.max(1) as f64).sqrt();
        let message = format!(
            "{n} users are tested, so that a hit rate is known to ± {half:.2} at worst (95 %); look at the \
             intervals before the order"
        );
        (Verdict::Note, message)
    } else {
        (Verdict::Fine, format!("{n} users are tested"))
    })
}

/// Whether there are several seeds.
pub(super) fn seeds(subject: &Subject<'_>) -> Found {
    Some(match subject.study.study.seeds.len() {
        1 => {
            let message =
                "one seed: how much another draw of weights and batches changes is not known";
            (Verdict::Note, message.to_owned())
        }
        n => (Verdict::Fine, format!("{n} seeds, told apart from users")),
    })
}
