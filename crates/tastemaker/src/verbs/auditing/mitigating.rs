//! What re-ranking brings against harms, and costs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tastemaker_audit::harms::{AnyHarm, EchoChambers};
use tastemaker_audit::mitigations::{AnyMitigation, Point, TradeOff, at_strengths, mitigated};
use tastemaker_audit::{Scope, Subject};
use tastemaker_core::SeedTree;
use tastemaker_core::splits::Part;
use tastemaker_eval::metrics::Ndcg;

use super::{AuditOptions, Tried};
use crate::Result;

/// Strengths at which mitigations are tried.
const STRENGTHS: [f64; 4] = [0.1, 0.2, 0.4, 0.8];

/// What re-ranking brings against those of the harms that it can lessen: every strength for the targets of
/// the validation, and what these leave to choose from for the subject's own. Where nobody validates, the
/// subject's own stand for both.
pub(super) fn tried(
    subject: &Subject<'_>,
    options: &AuditOptions,
    seeds: &SeedTree,
) -> Result<Vec<Tried>> {
    let Some(recommender) = subject.recommender else { return Ok(vec![]) };
    let scope = Scope { part: Part::Validation, ..subject.scope.clone() };
    let can = |case| scope.candidates.are_for(&case, scope.allow_seen);
    let validates = scope.split.iter_cases(scope.data, scope.part).any(can);
    let part = if validates { scope.part } else { subject.scope.part };
    let choosing = Subject::of_users(Scope { part, ..scope }, recommender, options.users, seeds)?;
    let stronger = at_strengths(&AnyMitigation::all(0.0), &STRENGTHS)?;
    let signs = signs(subject, options);
    let every = vec![(0..stronger.len()).collect(); signs.len()];
    let points = measured(&choosing, (&stronger, &every), &signs, (options, seeds))?;
    let best = |points: &Vec<Point>| -> Vec<usize> {
        // The first is the recommender as it is.
        let mitigated = points[1..].iter().enumerate();
        mitigated.filter(|(_, point)| point.pareto).map(|(at, _)| at).collect()
    };
    let left: Vec<Vec<usize>> = points.iter().map(best).collect();
    let chosen = measured(subject, (&stronger, &left), &signs, (options, seeds))?;
    let tried = signs.iter().zip(points.into_iter().zip(chosen));
    let tried = tried.map(|((harm, sign, _), (points, chosen))| {
        let (harm, sign) = (harm.name().to_owned(), (*sign).to_owned());
        Tried { harm, sign, points, part: part.name().to_owned(), chosen }
    });
    Ok(tried.collect())
}

/// A harm, a sign of it, and what the sign is of.
type SignOf = (AnyHarm, &'static str, String);

/// The signs that re-ranking can change.
fn signs(subject: &Subject<'_>, options: &AuditOptions) -> Vec<SignOf> {
    let categories = subject.ground.has_categories(None);
    let mut signs = Vec::new();
    for harm in &options.harms {
        match harm {
            AnyHarm::EchoChambers(harm) => {
                // Rounds of a loop say nothing of lists as they are.
                let loopless = EchoChambers { rounds: 0, ..harm.clone() };
                let loopless = AnyHarm::EchoChambers(loopless);
                signs.push((loopless.clone(), "exposure-gini", String::new()));
                let of = harm.attribute.clone().unwrap_or_default();
                let all = ["diversity", "miscalibration"].into_iter().filter(|_| categories);
                signs.extend(all.map(|sign| (loopless.clone(), sign, of.clone())));
            }
            AnyHarm::Disparities(_) => signs.push((harm.clone(), "long-tail", String::new())),
            _ => {}
        }
    }
    signs
}

/// For each sign the recommender of `subject` as it is, and with those of `mitigations` whose numbers
/// stand at the sign's place in `which`.
fn measured(
    subject: &Subject<'_>,
    (mitigations, which): (&[AnyMitigation], &[Vec<usize>]),
    signs: &[SignOf],
    (options, seeds): (&AuditOptions, &SeedTree),
) -> Result<Vec<Vec<Point>>> {
    let mitigated = mitigated(subject, mitigations)?;
    // Several signs are measured of the same lists.
    let mut changed: BTreeMap<usize, Subject<'_>> = BTreeMap::new();
    for &at in which.iter().flatten() {
        if let Entry::Vacant(entry) = changed.entry(at) {
            entry.insert(subject.changed(&mitigated[at])?);
        }
    }
    let (accuracy, resamples) = (&Ndcg { k: options.k }, options.resamples);
    let points = signs.iter().zip(which).map(|((harm, sign, of), which)| {
        let trade_off = TradeOff { accuracy, harm, sign, of, resamples };
        let changed = which.iter().map(|at| (&mitigations[*at], &changed[at]));
        Ok(trade_off.over(subject, changed, seeds)?)
    });
    points.collect()
}
