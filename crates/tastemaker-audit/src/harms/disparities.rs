//! Some people, or those who make some things, are served worse than others.

use serde::{Deserialize, Serialize};
use tastemaker_core::people::UserAttribute;
use tastemaker_core::{Result, SeedTree, UserId};
use tastemaker_eval::metrics::{Metric, Ndcg, Recall};

use super::Harm;
use crate::Stakeholder::{ContentCreator, EndUser, SupplyChain, SystemDesigner};
use crate::probes::groups::{
    Group, chosen, ends, gap_interval, groups, mean_absolute_difference, means, of_users,
};
use crate::{Exposed, Notes, Sign, Subject};

mod counterfactual;
mod providers;

const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
const UNIT: (f64, f64) = (0.0, 1.0);
/// Where a standard deviation of what lies within [`UNIT`] can be.
const SPREAD: (f64, f64) = (0.0, 0.5);
/// Where SERP* on the scale of its code can be: (k + 3) / (4 (k + 1)) at most, and k is at least 1.
const CODE: (f64, f64) = (0.0, 0.5);
const PROVIDERS: &[crate::Stakeholder] = &[ContentCreator, SupplyChain];

const SIGNS: &[Sign] = &[
    Sign::lower(
        "ndcg-gap",
        (-1.0, 1.0),
        &[EndUser, SystemDesigner],
        "mean NDCG@k of the best-served group less that of the worst-served",
    ),
    Sign::lower(
        "ndcg-shortfall",
        (f64::NEG_INFINITY, 1.0),
        &[EndUser, SystemDesigner],
        "1 − mean NDCG@k of the worst-served group relative to the best-served",
    ),
    Sign::lower(
        "recall-gap",
        (-1.0, 1.0),
        &[EndUser, SystemDesigner],
        "mean recall@k of the best-served group less that of the worst-served",
    ),
    Sign::lower(
        "user-mad",
        UNIT,
        &[EndUser],
        "mean over pairs of groups of |difference of their mean NDCG@k| (UserMADranking of Elliot)",
    ),
    Sign::lower(
        "average-popularity",
        (0.0, f64::INFINITY),
        PROVIDERS,
        "mean over users of how often items of the list were met in training (ARP; Yin et al. \
            2012)",
    ),
    Sign::lower(
        "popularity-lift",
        (-1.0, f64::INFINITY),
        PROVIDERS,
        "mean popularity of lists relative to that of their users' histories, − 1 (ΔGAP; \
            Abdollahpouri et al. 2019)",
    ),
    Sign::higher(
        "long-tail",
        UNIT,
        PROVIDERS,
        "mean over users of the share of the list from the long tail, behind 0.8 of the \
            interactions (APLT)",
    ),
    Sign::higher(
        "long-tail-count",
        (0.0, f64::INFINITY),
        PROVIDERS,
        "mean over users of the number of long-tail items in the list (ACLT of Elliot)",
    ),
    Sign::lower(
        "provider-gini",
        UNIT,
        PROVIDERS,
        "Gini of how often items are shown: 0 is equal, 1 concentrated (RecBole's sense; Elliot \
            gives 1 − it)",
    ),
    Sign::lower(
        "exposure-hhi",
        UNIT,
        PROVIDERS,
        "Σ (share of all places)² over items (Herfindahl and Hirschman)",
    ),
    Sign::lower(
        "popular-rsp",
        UNIT,
        PROVIDERS,
        "sd / mean of the chance to be shown, popular against long-tail items (PopRSP of Elliot)",
    ),
    Sign::lower(
        "popular-reo",
        UNIT,
        PROVIDERS,
        "sd / mean of the chance to be shown to who wants it, popular against long-tail items \
            (PopREO of Elliot)",
    ),
    Sign::lower(
        "provider-shift",
        UNIT,
        PROVIDERS,
        "total variation of providers' shares of places from their shares of training interactions",
    ),
    Sign::lower(
        "snsr-jaccard",
        UNIT,
        &[EndUser],
        "SNSR: largest less smallest mean Jaccard of lists with a value told and neutral ones \
            (FaiRLLM)",
    ),
    Sign::lower(
        "snsv-jaccard",
        SPREAD,
        &[EndUser],
        "SNSV: population sd over values of mean Jaccard of lists with a value told and neutral \
            ones (FaiRLLM)",
    ),
    Sign::lower(
        "snsr-serp",
        UNIT,
        &[EndUser],
        "SNSR of SERP* as its paper defines it, from 0 to 1",
    ),
    Sign::lower(
        "snsv-serp",
        SPREAD,
        &[EndUser],
        "SNSV of SERP* as its paper defines it, from 0 to 1",
    ),
    Sign::lower(
        "snsr-serp-code",
        CODE,
        &[EndUser],
        "SNSR of SERP* on the scale of its code, which is that of the published values and ends \
            at (k+3)/(4(k+1))",
    ),
    Sign::lower(
        "snsv-serp-code",
        (0.0, CODE.1 / 2.0),
        &[EndUser],
        "SNSV of SERP* on the scale of its code, which is that of the published values and ends \
            at (k+3)/(4(k+1))",
    ),
    Sign::lower(
        "snsr-prag",
        UNIT,
        &[EndUser],
        "SNSR of PRAG*, the share of pairs in the neutral order",
    ),
    Sign::lower(
        "snsv-prag",
        SPREAD,
        &[EndUser],
        "SNSV of PRAG*, the share of pairs in the neutral order",
    ),
    Sign::lower(
        "alignment-gap",
        UNIT,
        &[EndUser],
        "largest less smallest mean share of what is truly liked that is listed, over values \
            (after CFaiRLLM)",
    ),
    Sign::lower(
        "recency-shift",
        ANY,
        PROVIDERS,
        "mean year of lists less mean year of their users' histories",
    ),
    Sign::lower(
        "recent-share-shift",
        (-1.0, 1.0),
        PROVIDERS,
        "share of items from a year on in lists, less that in their users' histories (Deldjoo \
            2024)",
    ),
    Sign::higher(
        "snapshot-jaccard",
        UNIT,
        PROVIDERS,
        "mean Jaccard of lists and those of later states of the recommender",
    ),
    Sign::higher(
        "snapshot-overlap",
        UNIT,
        PROVIDERS,
        "mean rank-biased overlap, p 0.9, of lists and those of later states of the recommender",
    ),
];

/// Some people, or those who make some things, are served worse than others.
///
/// Quality by groups of users, exposure of who makes things, and, where lists for told values of a
/// sensitive attribute are given, how they differ (`FaiRLLM`, `CFaiRLLM`).
///
/// # Groups
/// The best-served and the worst-served group are chosen by the same users whose gap is then told, so the
/// interval is made wider for as many pairs as there are, and no group's variance is taken for less than
/// that of all ([`crate::probes::groups::gap_interval`]). That of the shortfall is that of the gap,
/// relative to the mean of the best-served group. Groups with few members are left out, and said to be.
///
/// Where there are several attributes, each two of them together tell groups apart too (`gender × age`): a
/// gap can be there for who is both, and for neither alone.
///
/// # References
/// Ekstrand et al. 2022, *Fairness in Information Access Systems*; Elliot; Zhang et al. 2023; Deldjoo and
/// Nazary 2024; Deldjoo and Di Noia 2024 (`CFaiRLLM`) for combinations of attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Disparities {
    /// Attributes of users that tell groups apart; those marked as sensitive where empty.
    pub attributes: Vec<String>,
    /// The fewest members of a group.
    pub least: usize,
    /// The attribute of items that says who makes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The attribute of items that holds years; the first with "year" in its name where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub year: Option<String>,
    /// From which year on an item is recent; where absent the first from which on no more than a fifth of
    /// the items with a year are. Deldjoo 2024 takes 2000, of which some data have nothing or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent: Option<f64>,
}

impl Default for Disparities {
    fn default() -> Self {
        Self { attributes: vec![], least: 10, provider: None, year: None, recent: None }
    }
}

impl Harm for Disparities {
    fn signs(&self) -> &'static [Sign] {
        SIGNS
    }

    fn probe(&self, subject: &Subject<'_>, notes: &mut Notes, _: &SeedTree) -> Result<()> {
        self.users(subject, notes);
        providers::measure(self, subject, notes);
        counterfactual::measure(subject, notes);
        Ok(())
    }

    fn lessened_by(&self) -> &'static [&'static str] {
        &[
            "exposure-fair",
            "popularity-debiased",
            "balance, as `training` has it: groups of users met equally often",
            "group-gap, an objective: groups' losses near each other (after FOCF)",
            "popularity-correlation, an objective: scores that do not follow popularity",
            "counterfactual, as `training` and `tuning` have it: learnt with other values too",
            "sensitive attributes left out of prompts",
            "fairness asked for in the system's role (Deldjoo 2024)",
        ]
    }
}

/// Signs of quality by groups.
const QUALITY: [&str; 4] = ["ndcg-gap", "ndcg-shortfall", "recall-gap", "user-mad"];

impl Disparities {
    fn users(&self, subject: &Subject<'_>, notes: &mut Notes) {
        let users = subject.with_targets();
        let (wanted, wrong) = chosen(&subject.scope.data.people, &self.attributes);
        for (name, error) in &wrong {
            notes.cannot_all(&QUALITY, name, &error.to_string());
        }
        if users.is_empty() {
            return notes.cannot_all(&QUALITY, "", "no user has anything to foretell");
        }
        if wanted.is_empty() && wrong.is_empty() {
            return notes.cannot_all(
                &QUALITY,
                "",
                "no attribute of users is known to be sensitive",
            );
        }
        let ids: Vec<UserId> = users.iter().map(|&at| subject.cases[at].user).collect();
        let k = subject.scope.k;
        let ndcg = subject.per_user(&Ndcg { k } as &dyn Metric, &users);
        let recall = subject.per_user(&Recall { k } as &dyn Metric, &users);
        for attribute in &wanted {
            self.quality(notes, &[attribute], &ids, [&ndcg, &recall]);
        }
        for (place, first) in wanted.iter().enumerate() {
            for second in &wanted[place + 1..] {
                self.quality(notes, &[first, second], &ids, [&ndcg, &recall]);
            }
        }
    }

    fn quality(
        &self,
        notes: &mut Notes,
        attributes: &[&UserAttribute],
        users: &[UserId],
        [ndcg, recall]: [&[f64]; 2],
    ) {
        let name = &name(attributes);
        let (groups, outside) = groups(attributes, users, self.least);
        if groups.len() < 2 {
            let reason = format!(
                "{} groups have {} members or more among {} users, and two are needed",
                groups.len(),
                self.least,
                users.len()
            );
            return notes.cannot_all(&QUALITY, name, &reason);
        }
        let (n, of) = (groups.len(), of_users(&groups, users.len()));
        let all: Vec<usize> = (0..users.len()).collect();
        for (sign, values) in [("ndcg-gap", ndcg), ("ndcg-shortfall", ndcg), ("recall-gap", recall)]
        {
            let Some((worst, best)) = ends(&means(values, &of, n, &all)) else { continue };
            let means = means(values, &of, n, &all);
            // A gap relative to the best-served group's mean, or as it is.
            let scale = if sign == "ndcg-shortfall" { means[best] } else { 1.0 };
            let gap = (means[best] - means[worst]) / scale;
            let interval = gap_interval(values, &groups, worst, best).map(|end| end / scale);
            if let Some(indicator) = notes.defined(sign, name, gap, Some(interval), users.len()) {
                indicator.exposed = exposed(attributes, &groups[worst], users.len());
                let all = groups.iter().map(|g| format!("{} ({})", g.value, g.members.len()));
                let told = format!(
                    "; best served: {}; groups of {} or more: {}; {outside} users in none",
                    groups[best].value,
                    self.least,
                    all.collect::<Vec<_>>().join(", "),
                );
                indicator.protocol.push_str(&told);
            }
        }
        let mad = |sample: &[usize]| mean_absolute_difference(&means(ndcg, &of, n, sample));
        notes.statistic("user-mad", name, users.len(), 1, mad);
    }
}

/// What groups are of, where they are told apart by all of `attributes`.
fn name(attributes: &[&UserAttribute]) -> String {
    let names: Vec<&str> = attributes.iter().map(|known| &known.attribute.name[..]).collect();
    names.join(" × ")
}

fn exposed(attributes: &[&UserAttribute], group: &Group, n: usize) -> Exposed {
    Exposed {
        whom: format!("{} {}", name(attributes), group.value),
        share: group.members.len() as f64 / n as f64,
        protected: attributes.iter().any(|attribute| attribute.sensitive),
    }
}
