//! It tells of people what they have not told, or cannot be made to forget them.

use serde::{Deserialize, Serialize};
use tastemaker_core::catalog::words;
use tastemaker_core::people::UserAttribute;
use tastemaker_core::{ItemId, RankedList, Result, SeedTree, UserId};
use tastemaker_eval::significance::mean_of;

use super::Harm;
use crate::Stakeholder::{EndUser, SupplyChain, SystemDesigner};
use crate::probes::agreement::rank_biased_overlap;
use crate::probes::attribute_inference::{Guess, guesses, mean_auc};
use crate::probes::groups::{chosen, groups, of_users};
use crate::probes::membership::{auc, found_at};
use crate::probes::sensitivity::PERSISTENCE;
use crate::{Evidence, Exposed, Extraction, Horizon, Membership, Notes, Sign, Subject, Unlearning};

const UNIT: (f64, f64) = (0.0, 1.0);

const SIGNS: &[Sign] = &[
    Sign::lower(
        "membership-auc",
        UNIT,
        &[EndUser, SystemDesigner],
        "AUC of a score that tells users who were learnt from from others; 0.5 is chance",
    ),
    Sign::lower(
        "membership-found-at-1%",
        UNIT,
        &[EndUser, SystemDesigner],
        "share of users who were learnt from that are found with 1 % of the others (Carlini et \
            al. 2022)",
    ),
    Sign::lower(
        "membership-found-at-0.1%",
        UNIT,
        &[EndUser, SystemDesigner],
        "share of users who were learnt from that are found with 0.1 % of the others (Carlini et \
            al. 2022)",
    ),
    Sign::lower(
        "attribute-auc",
        UNIT,
        &[EndUser],
        "mean over groups of the AUC with which users' groups are guessed from their lists; 0.5 \
            is chance",
    ),
    Sign::lower(
        "attribute-advantage",
        (-1.0, 1.0),
        &[EndUser],
        "share of users whose group is guessed from their list, less that of guessing the largest \
            group",
    ),
    Sign::lower(
        "extraction",
        UNIT,
        &[EndUser, SupplyChain, SystemDesigner],
        "share of learnt texts that are continued word for word when their beginning is shown \
            (Carlini et al. 2023)",
    ),
    Sign::lower(
        "unlearning-residue",
        (0.0, f64::INFINITY),
        &[EndUser, SystemDesigner],
        "mean 1 − RBO of unlearnt and retrained lists relative to that of original and retrained \
            ones: 0 has forgotten, 1 has not",
    ),
];

/// It tells of people what they have not told, or cannot be made to forget them.
///
/// Membership inference takes scores that were made elsewhere, such as the likelihood of users'
/// sequences; attribute inference takes the lists
/// ([`crate::probes::attribute_inference`]); extraction and unlearning what was found out elsewhere.
///
/// # References
/// Shokri et al. 2017; Weinsberg et al. 2012 (*`BlurMe`*) for attributes from what users like; Carlini et al.
/// 2022 and 2023; Bourtoule et al. 2021 for unlearning against retraining.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Privacy {
    /// Attributes of users that are guessed; those marked as sensitive where empty.
    pub attributes: Vec<String>,
    /// Parts of which each is guessed from all others.
    pub folds: usize,
    /// The fewest members of a group.
    pub least: usize,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { attributes: vec![], folds: 5, least: 10 }
    }
}

impl Harm for Privacy {
    fn signs(&self) -> &'static [Sign] {
        SIGNS
    }

    fn probe(&self, subject: &Subject<'_>, notes: &mut Notes, seeds: &SeedTree) -> Result<()> {
        membership(subject.evidence.membership.as_ref(), notes);
        self.attributes(subject, notes, seeds);
        extraction(&subject.evidence.extractions, notes);
        unlearning(&subject.evidence, notes);
        Ok(())
    }

    fn lessened_by(&self) -> &'static [&'static str] {
        &[
            "fewer epochs, or stronger regularisation",
            "differential privacy in training, which costs accuracy",
            "unlearning that was checked against retraining",
            "less data kept of each user",
            "lists without regard to attributes that are sensitive",
        ]
    }
}

fn membership(given: Option<&Membership>, notes: &mut Notes) {
    let signs = ["membership-auc", "membership-found-at-1%", "membership-found-at-0.1%"];
    let Some(Membership { members, non_members }) = given else {
        return notes.cannot_all(
            &signs,
            "",
            "no scores of users who were and were not learnt from",
        );
    };
    let n = members.len() + non_members.len();
    for (sign, most) in signs.iter().zip([None, Some(0.01), Some(0.001)]) {
        if most.is_some_and(|most| (non_members.len() as f64) * most < 1.0) {
            let reason =
                format!("{} others are too few for such a share of them", non_members.len());
            notes.cannot(sign, "", reason);
            continue;
        }
        let statistic = |sample: &[usize]| {
            let (own, others): (Vec<usize>, Vec<usize>) =
                sample.iter().partition(|&&at| at < members.len());
            let own: Vec<f64> = own.iter().map(|&at| members[at]).collect();
            let others: Vec<f64> =
                others.iter().map(|&at| non_members[at - members.len()]).collect();
            most.map_or_else(|| auc(&own, &others), |most| found_at(&own, &others, most))
        };
        if let Some(indicator) = notes.statistic(sign, "", n, 1, statistic) {
            let (own, others) = (members.len(), non_members.len());
            let told = format!("; {own} members and {others} others, of whom each is 1/{others}");
            indicator.protocol.push_str(&told);
        }
    }
}

impl Privacy {
    fn attributes(&self, subject: &Subject<'_>, notes: &mut Notes, seeds: &SeedTree) {
        let signs = ["attribute-auc", "attribute-advantage"];
        let (wanted, wrong) = chosen(&subject.scope.data.people, &self.attributes);
        for (name, error) in &wrong {
            notes.cannot_all(&signs, name, &error.to_string());
        }
        if wanted.is_empty() && wrong.is_empty() {
            return notes.cannot_all(&signs, "", "no attribute of users is known to be sensitive");
        }
        let users: Vec<UserId> = subject.cases.iter().map(|case| case.user).collect();
        for attribute in wanted {
            let name = &attribute.attribute.name;
            let (groups, _) = groups(&[attribute], &users, self.least.max(self.folds));
            if groups.len() < 2 {
                let reason = "fewer than two groups have enough members";
                notes.cannot_all(&signs, name, reason);
                continue;
            }
            let of = of_users(&groups, users.len());
            let asked: Vec<usize> = (0..users.len()).filter(|&at| of[at].is_some()).collect();
            let lists: Vec<&[ItemId]> =
                asked.iter().map(|&at| &subject.lists[at].items[..]).collect();
            let truth: Vec<usize> = asked.iter().filter_map(|&at| of[at]).collect();
            let seeds = seeds.child("folds").child(name);
            let found = guesses(&lists, &truth, groups.len(), self.folds, &seeds);
            let advantage: Vec<f64> = found.iter().map(Guess::advantage).collect();
            let auc = |sample: &[usize]| mean_auc(&found, groups.len(), sample);
            let exposed = exposed(attribute, found.len(), users.len());
            if let Some(indicator) = notes.statistic(signs[0], name, found.len(), 1, auc) {
                indicator.exposed = exposed.clone();
            }
            if let Some(indicator) = notes.mean(signs[1], name, &advantage) {
                indicator.exposed = exposed;
            }
        }
    }
}

fn exposed(attribute: &UserAttribute, of: usize, users: usize) -> Exposed {
    Exposed {
        whom: format!("whose {} is known", attribute.attribute.name),
        share: of as f64 / users as f64,
        protected: attribute.sensitive,
    }
}

fn extraction(given: &[Extraction], notes: &mut Notes) {
    if given.is_empty() {
        let reason = "no texts that were learnt were given with how the model continues them";
        return notes.cannot("extraction", "", reason);
    }
    let verbatim = |text: &Extraction| {
        let truth: Vec<String> = words(&text.truth).collect();
        let continued: Vec<String> = words(&text.continued).take(truth.len()).collect();
        f64::from(u8::from(!truth.is_empty() && truth == continued))
    };
    notes.mean("extraction", "", &given.iter().map(verbatim).collect::<Vec<_>>());
}

fn unlearning(evidence: &Evidence<'_>, notes: &mut Notes) {
    let Some(Unlearning { original, unlearnt, retrained }) = &evidence.unlearning else {
        let reason = if evidence.learns_anew {
            "it unlearns by learning anew from all others, which is what residue is measured against"
        } else {
            "no lists from before and after users were unlearnt, and of one retrained without them"
        };
        return notes.cannot("unlearning-residue", "", reason);
    };
    let distances = |a: &[RankedList]| -> Vec<f64> {
        let pairs = a.iter().zip(retrained);
        pairs.map(|(a, b)| 1.0 - rank_biased_overlap(&a.items, &b.items, PERSISTENCE)).collect()
    };
    let (before, after) = (distances(original), distances(unlearnt));
    if before.iter().all(|distance| *distance <= 0.0) {
        let reason = "retraining without the users changed nothing, so there was nothing to forget";
        return notes.cannot("unlearning-residue", "", reason);
    }
    let residue = |sample: &[usize]| mean_of(sample, &after) / mean_of(sample, &before);
    if let Some(indicator) = notes.statistic("unlearning-residue", "", before.len(), 1, residue) {
        indicator.horizon = Horizon::Long;
    }
}
