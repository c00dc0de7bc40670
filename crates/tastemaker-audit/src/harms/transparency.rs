//! Why something is recommended cannot be told, or is not what is said.

use serde::{Deserialize, Serialize};
use tastemaker_core::{RankedList, Recommender, Result, SeedTree};
use tastemaker_eval::significance::mean_of;

use super::Harm;
use crate::Stakeholder::{ContentCreator, EndUser, SystemDesigner};
use crate::probes::agreement::{jaccard, rank_biased_overlap};
use crate::probes::confidence::{Claim, expected_calibration_error, of_first};
use crate::probes::groups::ends;
use crate::probes::sensitivity::{
    PERSISTENCE, PLACES, to_candidates, to_history, to_place, to_what_is_cited,
};
use crate::{Notes, Sign, Subject};

const UNIT: (f64, f64) = (0.0, 1.0);

const SIGNS: &[Sign] = &[
    Sign::higher(
        "order-tau",
        (-1.0, 1.0),
        &[EndUser, SystemDesigner],
        "mean Kendall τ of the order of a list's items when they are told in shuffled orders",
    ),
    Sign::higher(
        "order-overlap",
        UNIT,
        &[EndUser, SystemDesigner],
        "mean rank-biased overlap, p 0.9, of the order of a list's items when they are told in \
            shuffled orders",
    ),
    Sign::higher(
        "history-overlap",
        UNIT,
        &[SystemDesigner],
        "mean rank-biased overlap, p 0.9, of lists for histories in shuffled orders; sequences \
            may matter",
    ),
    Sign::lower(
        "place-gap",
        (-1.0, 1.0),
        &[EndUser, ContentCreator],
        "mean 1/log₂(rank + 1) of a target told at the best of 5 places among 20 candidates, less \
            at the worst (LLMRank)",
    ),
    Sign::higher(
        "run-jaccard",
        UNIT,
        &[EndUser, SystemDesigner],
        "mean Jaccard of lists and those of other runs with other seeds, or asked again",
    ),
    Sign::higher(
        "run-overlap",
        UNIT,
        &[EndUser, SystemDesigner],
        "mean rank-biased overlap, p 0.9, of lists and those of other runs with other seeds, or \
            asked again",
    ),
    Sign::higher(
        "explanation-faithfulness",
        (f64::NEG_INFINITY, f64::INFINITY),
        &[EndUser],
        "mean of log₂(rank without the cited item / rank without one at random) of what is \
            explained (deletion)",
    ),
    Sign::lower(
        "calibration-error",
        UNIT,
        &[EndUser, SystemDesigner],
        "ECE, 15 bins, of the first item's softmax among the scores that are shown, against its \
            being a target (Guo et al. 2017)",
    ),
];

/// Bins of the calibration error.
const BINS: usize = 15;

/// Why something is recommended cannot be told, or is not what is said.
///
/// Whether lists depend on what should not matter, whether other runs say the same, whether what
/// explanations cite matters, and whether scores are as sure as they are right.
///
/// # References
/// Hou et al. 2024 (`LLMRank`) for places and orders; `DeYoung` et al. 2020 for deletion; Guo et al. 2017.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Transparency {
    /// How many users are asked again, drawn at random.
    pub users: usize,
    /// In how many other orders.
    pub shuffles: usize,
}

impl Default for Transparency {
    fn default() -> Self {
        Self { users: 200, shuffles: 3 }
    }
}

impl Harm for Transparency {
    fn signs(&self) -> &'static [Sign] {
        SIGNS
    }

    fn probe(&self, subject: &Subject<'_>, notes: &mut Notes, seeds: &SeedTree) -> Result<()> {
        runs(subject, notes);
        calibration(subject, notes);
        let asking = ["order-tau", "order-overlap", "history-overlap", "place-gap"];
        let Some(recommender) = subject.recommender else {
            let reason = "lists that were made elsewhere cannot be asked for again";
            notes.cannot_all(&asking, "", reason);
            notes.cannot("explanation-faithfulness", "", reason);
            return Ok(());
        };
        self.orders(subject, recommender, notes, seeds)?;
        explanations(subject, recommender, notes, &seeds.child("explanations"))
    }

    fn lessened_by(&self) -> &'static [&'static str] {
        &[
            "several shuffled orders asked for, and their mean taken (bootstrapping; Hou et al. \
                2024)",
            "seeds and prompts kept with each list",
            "explanations made from what the list was made of",
            "scores calibrated on validation targets",
        ]
    }
}

impl Transparency {
    fn orders(
        &self,
        subject: &Subject<'_>,
        recommender: &dyn Recommender,
        notes: &mut Notes,
        seeds: &SeedTree,
    ) -> Result<()> {
        let users = subject.draw(self.users, &seeds.child("users"));
        let shuffles = self.shuffles.max(1);
        let orders = seeds.child("candidates");
        let found = to_candidates(subject, recommender, &users, shuffles, &orders)?;
        notes.mean("order-tau", "", &found.iter().map(|like| like.tau).collect::<Vec<_>>());
        notes.mean("order-overlap", "", &found.iter().map(|like| like.overlap).collect::<Vec<_>>());
        let orders = seeds.child("histories");
        let found = to_history(subject, recommender, &users, shuffles, &orders)?;
        notes.mean("history-overlap", "", &found);
        let gains = to_place(subject, recommender, &users, &seeds.child("places"))?;
        let means = |sample: &[usize]| -> Vec<f64> {
            let column = |at| gains.iter().map(|gains| gains[at]).collect::<Vec<_>>();
            (0..PLACES.len()).map(|at| mean_of(sample, &column(at))).collect()
        };
        let all: Vec<usize> = (0..gains.len()).collect();
        let Some((worst, best)) = ends(&means(&all)).filter(|_| !gains.is_empty()) else {
            notes.cannot("place-gap", "", "no user has a new target and 19 other items");
            return Ok(());
        };
        let gap = |sample: &[usize]| {
            let means = means(sample);
            means[best] - means[worst]
        };
        let pairs = PLACES.len() * (PLACES.len() - 1) / 2;
        if let Some(indicator) = notes.statistic("place-gap", "", gains.len(), pairs, gap) {
            let told = format!("; best told at {}, worst at {}", PLACES[best], PLACES[worst]);
            indicator.protocol.push_str(&told);
        }
        Ok(())
    }
}

fn runs(subject: &Subject<'_>, notes: &mut Notes) {
    let runs = &subject.evidence.runs;
    if runs.is_empty() {
        let reason = "no lists of other runs were given";
        return notes.cannot_all(&["run-jaccard", "run-overlap"], "", reason);
    }
    let mean = |like: fn(&RankedList, &RankedList) -> f64| -> Vec<f64> {
        let of = |at: usize| runs.iter().map(|lists| like(&subject.lists[at], &lists[at])).sum();
        subject.everybody().into_iter().map(of).map(|sum: f64| sum / runs.len() as f64).collect()
    };
    notes.mean("run-jaccard", "", &mean(|a, b| jaccard(&a.items, &b.items)));
    let overlap =
        |a: &RankedList, b: &RankedList| rank_biased_overlap(&a.items, &b.items, PERSISTENCE);
    notes.mean("run-overlap", "", &mean(overlap));
}

fn calibration(subject: &Subject<'_>, notes: &mut Notes) {
    let claim = |at: usize| -> Option<Claim> {
        let (case, list) = (&subject.cases[at], &subject.lists[at]);
        let sure = of_first(&list.scores).filter(|sure| sure.is_finite())?;
        Some((sure, case.targets.contains(list.items.first()?)))
    };
    let claims: Vec<Claim> = subject.with_targets().into_iter().filter_map(claim).collect();
    if claims.is_empty() {
        return notes.cannot("calibration-error", "", "no list has scores and a target");
    }
    let error =
        |sample: &[usize]| expected_calibration_error(sample.iter().map(|&at| claims[at]), BINS);
    notes.statistic("calibration-error", "", claims.len(), 1, error);
}

fn explanations(
    subject: &Subject<'_>,
    recommender: &dyn Recommender,
    notes: &mut Notes,
    seeds: &SeedTree,
) -> Result<()> {
    let given = &subject.evidence.explanations;
    if given.is_empty() {
        let reason = "no explanations were given";
        notes.cannot("explanation-faithfulness", "", reason);
        return Ok(());
    }
    let found = to_what_is_cited(subject, recommender, seeds)?;
    if let Some(indicator) = notes.mean("explanation-faithfulness", "", &found) {
        let told = format!("; {} of {} explanations cite the history", found.len(), given.len());
        indicator.protocol.push_str(&told);
    }
    Ok(())
}
