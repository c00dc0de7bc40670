//! People are shown more and more of the same, and all of them the same.

use serde::{Deserialize, Serialize};
use tastemaker_core::{RankedList, Result, SeedTree};
use tastemaker_eval::metrics::{Coverage, Diversity, Gini, Metric, Miscalibration};
use tastemaker_eval::significance::mean_of;

use super::Harm;
use crate::Stakeholder::{ContentCreator, EndUser, SystemDesigner};
use crate::mitigations::{AnyMitigation, Exploration};
use crate::probes::exposure;
use crate::probes::feedback_loop::{FeedbackLoop, Refit, Round, entropy, likeness};
use crate::{Horizon, Notes, Sign, Subject};

/// Any number.
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

const SIGNS: &[Sign] = &[
    Sign::higher(
        "diversity",
        (0.0, 1.0),
        &[EndUser],
        "mean over users of ILD: 1 − Jaccard of categories, over the pairs of a list (Ziegler et \
            al. 2005)",
    ),
    Sign::higher(
        "list-entropy",
        (0.0, f64::INFINITY),
        &[EndUser],
        "mean over users of −Σ p ln p over the categories of a list (Shannon 1948)",
    ),
    Sign::lower(
        "narrowing",
        (-1.0, 1.0),
        &[EndUser],
        "mean over users of ILD of as many of their last items as the list has, less ILD of the \
            list",
    ),
    Sign::lower(
        "miscalibration",
        (0.0, f64::INFINITY),
        &[EndUser],
        "mean over users of KL of categories in the history from those in the list, α 0.01 (Steck \
            2018)",
    ),
    Sign::higher(
        "coverage",
        (0.0, 1.0),
        &[ContentCreator, EndUser],
        "share of the catalog that is in any list (Ge et al. 2010)",
    ),
    Sign::lower(
        "exposure-gini",
        (0.0, 1.0),
        &[ContentCreator],
        "Gini of how often items are shown: 0 is equal, 1 concentrated (RecBole's sense; Elliot \
            gives 1 − it)",
    ),
    Sign::lower(
        "likeness",
        (0.0, 1.0),
        &[EndUser, ContentCreator],
        "mean over users of Jaccard of their list and those of up to 20 others (homogenisation)",
    ),
    Sign::higher(
        "loop-diversity",
        (0.0, 1.0),
        &[EndUser],
        "ILD in the closed loop: at once in its first round, for long in its last",
    ),
    Sign::higher(
        "loop-entropy",
        (0.0, f64::INFINITY),
        &[EndUser],
        "entropy of a list's categories in the closed loop: at once in its first round, for long \
            in its last",
    ),
    Sign::lower(
        "loop-likeness",
        (0.0, 1.0),
        &[EndUser, ContentCreator],
        "likeness of users' lists in the closed loop: at once in its first round, for long in its \
            last",
    ),
    Sign::lower(
        "loop-popularity",
        (0.0, 1.0),
        &[ContentCreator],
        "share of users who had met what is shown in the closed loop: in its first round, and in \
            its last",
    ),
    Sign::higher(
        "drift-diversity",
        (-1.0, f64::INFINITY),
        &[EndUser, SystemDesigner],
        "mean ILD of the loop's last round relative to the first, − 1",
    ),
    Sign::higher(
        "drift-entropy",
        (-1.0, f64::INFINITY),
        &[EndUser, SystemDesigner],
        "mean entropy of lists' categories of the loop's last round relative to the first, − 1",
    ),
    Sign::lower(
        "drift-likeness",
        (-1.0, 1.0),
        &[EndUser, ContentCreator, SystemDesigner],
        "mean likeness of lists of the loop's last round, less that of the first",
    ),
    Sign::lower(
        "drift-popularity",
        ANY,
        &[ContentCreator, SystemDesigner],
        "mean popularity of what is shown in the loop's last round relative to the first, − 1",
    ),
];

/// The measures of a round, as signs end on them.
const MEASURES: [&str; 4] = ["diversity", "entropy", "likeness", "popularity"];

/// People are shown more and more of the same, and all of them the same.
///
/// Diversity of lists and of all lists together, how far lists are from what their users like, and a
/// closed loop of recommending, choosing and learning
/// ([`crate::probes::feedback_loop::FeedbackLoop`]), as it is and with an intervention.
///
/// # References
/// Pariser 2011; Chaney, Stewart and Engelhardt 2018 and Mansoury et al. 2020 for the loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EchoChambers {
    /// The attribute whose categories are looked at; all of them where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Rounds of the closed loop; 0 for none.
    pub rounds: usize,
    /// Users in the closed loop, drawn at random.
    pub users: usize,
    /// What is done to lists in the loop's second run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervention: Option<AnyMitigation>,
}

impl Default for EchoChambers {
    fn default() -> Self {
        let intervention = Some(AnyMitigation::Exploration(Exploration { strength: 0.2, seed: 1 }));
        Self { attribute: None, rounds: 20, users: 200, intervention }
    }
}

impl Harm for EchoChambers {
    fn signs(&self) -> &'static [Sign] {
        SIGNS
    }

    fn probe(&self, subject: &Subject<'_>, notes: &mut Notes, seeds: &SeedTree) -> Result<()> {
        self.lists(subject, notes);
        together(subject, notes, seeds);
        self.closed_loop(subject, notes, seeds)
    }

    fn lessened_by(&self) -> &'static [&'static str] {
        &[
            "mmr",
            "calibrated",
            "exploration",
            "popularity-correlation, an objective: scores that do not follow popularity",
            "learning from what was shown, and not from clicks alone",
        ]
    }
}

impl EchoChambers {
    fn lists(&self, subject: &Subject<'_>, notes: &mut Notes) {
        let names = ["diversity", "list-entropy", "narrowing", "miscalibration"];
        let (attribute, k) = (&self.attribute, subject.scope.k);
        if !subject.ground.has_categories(attribute.as_deref()) {
            let reason = "the catalog has no categories to tell items apart by";
            return notes.cannot_all(&names, "", reason);
        }
        let (all, of) = (subject.everybody(), attribute.as_deref().unwrap_or_default());
        let diversity = Diversity { k, attribute: attribute.clone() };
        let own = subject.per_user(&diversity, &all);
        notes.mean("diversity", of, &own);
        let spread =
            |list: &RankedList| entropy(&list.items, attribute.as_deref(), &subject.ground);
        notes.mean("list-entropy", of, &subject.lists.iter().map(spread).collect::<Vec<_>>());
        let before = |at: usize| {
            let (history, list) = (subject.cases[at].history, &subject.lists[at]);
            let last = history.len().min(list.items.len());
            let items = history[history.len() - last..].to_vec();
            let ground = &subject.ground;
            let about =
                tastemaker_eval::About { history: &[], candidates: items.len(), seen: &[], ground };
            let list = RankedList { items, ..RankedList::default() };
            (last > 1).then(|| diversity.of_user(&list, &[], &about)).flatten()
        };
        let narrowed: Vec<f64> = all.iter().filter_map(|&at| Some(before(at)? - own[at])).collect();
        notes.mean("narrowing", of, &narrowed);
        let miscalibration = Miscalibration { k, attribute: attribute.clone() };
        notes.mean("miscalibration", of, &subject.per_user(&miscalibration, &all));
    }

    fn closed_loop(
        &self,
        subject: &Subject<'_>,
        notes: &mut Notes,
        seeds: &SeedTree,
    ) -> Result<()> {
        let asked = subject.recommender.filter(|_| self.rounds > 1 && subject.candidates.is_none());
        let Some(recommender) = asked else {
            let reason = if subject.candidates.is_some() {
                "the closed loop chooses from the whole catalog, and lists are of candidates"
            } else {
                "the closed loop needs a recommender that can be asked, and two rounds"
            };
            for measure in MEASURES {
                notes.cannot_all(
                    &[&format!("loop-{measure}"), &format!("drift-{measure}")],
                    "",
                    reason,
                );
            }
            return Ok(());
        };
        let users = subject.draw(self.users, &seeds.child("users"));
        let interventions = [None].into_iter().chain(self.intervention.clone().map(Some));
        for mitigation in interventions {
            let of = mitigation.as_ref().map_or(String::new(), |mitigation| {
                format!("with {} {}", mitigation.name(), mitigation.as_dyn().strength())
            });
            let (rounds, attribute) = (self.rounds, self.attribute.clone());
            let settings = FeedbackLoop { rounds, attribute, mitigation };
            let mut again = subject.evidence.refit;
            let mut refit = again.as_mut().map(|refit| |data: &_| refit(data));
            let refit = refit.as_mut().map(|refit| refit as &mut Refit<'_>);
            let found = settings.run(subject, recommender, &users, refit, &seeds.child("loop"))?;
            self.rounds(subject, notes, &of, &found);
        }
        Ok(())
    }

    fn rounds(&self, subject: &Subject<'_>, notes: &mut Notes, of: &str, rounds: &[Round]) {
        let (Some(first), Some(last)) = (rounds.first(), rounds.last()) else { return };
        let learns = if subject.evidence.refit.is_some() { "" } else { "not " };
        let how = format!(
            "; {} rounds, one choice a round by place and taste, {learns}learnt anew after each",
            rounds.len()
        );
        for measure in MEASURES {
            let values = |round: &Round| match measure {
                "diversity" => round.diversity.clone(),
                "entropy" => round.entropy.clone(),
                "likeness" => round.likeness.clone(),
                _ => round.popularity.clone(),
            };
            let (before, after) = (values(first), values(last));
            let names = [format!("loop-{measure}"), format!("drift-{measure}")];
            let categories = subject.ground.has_categories(self.attribute.as_deref());
            if matches!(measure, "diversity" | "entropy") && !categories {
                let reason = "the catalog has no categories to tell items apart by";
                notes.cannot_all(&[&names[0], &names[1]], of, reason);
                continue;
            }
            for (values, horizon) in [(&before, Horizon::Immediate), (&after, Horizon::Long)] {
                if let Some(indicator) = notes.mean(&names[0], of, values) {
                    indicator.horizon = horizon;
                    indicator.hypothetical = !of.is_empty();
                    indicator.protocol.push_str(&how);
                }
            }
            let drift = |sample: &[usize]| {
                let (before, after) = (mean_of(sample, &before), mean_of(sample, &after));
                if measure == "likeness" { after - before } else { after / before - 1.0 }
            };
            if let Some(indicator) = notes.statistic(&names[1], of, before.len(), 1, drift) {
                indicator.horizon = Horizon::Long;
                indicator.hypothetical = !of.is_empty();
                indicator.protocol.push_str(&how);
            }
        }
    }
}

/// Signs of all lists together.
fn together(subject: &Subject<'_>, notes: &mut Notes, seeds: &SeedTree) {
    let (k, n) = (subject.scope.k, subject.lists.len());
    let shown = |sample: &[usize]| {
        let lists = sample.iter().map(|&at| &subject.lists[at].items[..]);
        exposure::counts(lists, subject.ground.n_items())
    };
    // A sample of users with some of them twice covers less than they all do: no interval.
    let all = shown(&subject.everybody());
    if let Some(coverage) = (Coverage { k }).of_exposure(&all) {
        notes.value("coverage", "", coverage, None, n);
    }
    let gini = |sample: &[usize]| (Gini { k }).of_exposure(&shown(sample)).unwrap_or(f64::NAN);
    notes.statistic("exposure-gini", "", n, 1, gini);
    if n > 1 {
        notes.mean("likeness", "", &likeness(&subject.lists, &seeds.child("others")));
    }
}
