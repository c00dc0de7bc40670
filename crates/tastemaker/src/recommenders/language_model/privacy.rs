//! What cannot be beside private training.

use tastemaker_nn::backbones::View;

use super::LanguageModel;
use super::problems::names_of;
use crate::Error;
use crate::error::setting;
use crate::objectives::AnyObjective;
use crate::paradigms::Task;
use crate::tokenisations::Tokenisation;
use crate::train::Privacy;

impl LanguageModel {
    /// The privacy of each stage that learns, and whether it learns from the study's own users.
    fn privacies(&self) -> Vec<(Option<Privacy>, bool)> {
        let Ok(plan) = self.plan() else { return vec![] };
        let of_stage = |task| match (task, &self.pretraining) {
            (Task::Permuting | Task::Recommending, _) => Some((self.training.privacy, true)),
            (Task::Pretraining, Some(before)) if !before.skip => {
                let training = before.training(self);
                Some((training.privacy, before.elsewhere.is_none()))
            }
            (Task::Pretraining, _) => None,
        };
        plan.stages.iter().filter_map(|stage| of_stage(stage.task)).collect()
    }

    /// What looks at several users beside the steps that are accounted for, where any are.
    pub(super) fn privacy_problems(&self) -> Vec<Error> {
        let stages = self.privacies();
        if stages.iter().all(|(privacy, _)| privacy.is_none()) {
            return vec![];
        }
        let refused = |keys: &str, found: &str, expected: &str| {
            setting("private training", found, expected).at(keys)
        };
        let mut problems = Vec::new();
        let here: Vec<Option<Privacy>> =
            stages.iter().filter(|(_, own)| *own).map(|(privacy, _)| *privacy).collect();
        if here.len() > 1 && here.iter().any(Option::is_some) {
            let found = format!("in a plan whose {} stages learn from the same users", here.len());
            let expected = match self.permutation() {
                Some(_) => {
                    "one such stage, since only one is accounted for: permutation-epochs = 0"
                }
                None => {
                    "one such stage, since only one is accounted for; pre-training may be elsewhere"
                }
            };
            problems.push(refused("training.privacy", &found, expected));
        }
        let alone = |objective: &AnyObjective| objective.as_dyn().is_of_one_user();
        for (keys, objective) in self.all_objectives().filter(|(_, objective)| !alone(objective)) {
            let found = format!("with objective {}", objective.name());
            let expected = format!(
                "one that sets no user against others: {}",
                names_of(AnyObjective::ENTRIES, alone)
            );
            problems.push(refused(&keys, &found, &expected));
        }
        let views = self.backbone.as_dyn().shape().map(|shape| shape.views).unwrap_or_default();
        let counted = matches!(self.tokenisation, Some(Tokenisation::CollaborativeIds(_)));
        for (there, keys, found, expected) in [
            (self.few_shot.is_some(), "few-shot", "with few-shot", "all users, each by lot"),
            (
                views.has(View::Return),
                "backbone.views",
                "with view return",
                "other views: which returns are high is found among all users",
            ),
            (
                self.attributes().is_some(),
                "paradigm",
                "with a personal-prompt",
                "another prompt: which values there are is found among all users",
            ),
            (
                counted,
                "tokenisation",
                "with collaborative-ids",
                "another tokenisation: these follow from who has met what",
            ),
        ] {
            if there {
                problems.push(refused(keys, found, expected));
            }
        }
        problems
    }
}
