//! Which settings cannot be used, or not together.

use serde::de::DeserializeOwned;
use tastemaker_core::registry::{Entry, usual};
use tastemaker_core::suggest;
use tastemaker_nn::adapters::Place;
use tastemaker_nn::backbones::{AnyBackbone, View};
use tastemaker_nn::transformer::{FEATURES, Sides, TABLE, TEXTS};

use super::generated::room;
use super::{
    Auxiliary, FewShot, ItemFeatures, ItemTexts, Keyed, LanguageModel, PRETRAINING, Scoring, sides,
};
use crate::Error;
use crate::error::setting;
use crate::objectives::AnyObjective;
use crate::paradigms::{ItemPrompt, Stage, Task, TrainPlan};
use crate::tokenisations::Tokenisation;
use crate::train::{Schedule, Training};

impl LanguageModel {
    /// Everything that is wrong with a part, whatever the others are.
    pub(crate) fn problems_of_parts(&self) -> Vec<Error> {
        let mut problems: Vec<Error> = Vec::new();
        let shape = self.backbone.as_dyn().shape();
        problems.extend(shape.err().map(|error| Error::from(error).at("backbone")));
        for (keys, objective) in self.all_objectives() {
            problems.extend(objective.as_dyn().check().err().map(|e| Error::from(e).at(&keys)));
        }
        problems.extend(repeated(self.objectives()));
        problems.extend(of_schedules("auxiliary", &self.auxiliary, &self.training));
        problems.extend(of_training("training", &self.training));
        let device = self.training.device.open();
        problems.extend(device.err().map(|error| Error::from(error).at("training")));
        if let Some(before) = &self.pretraining {
            problems.extend(repeated(before.objectives()));
            let training = before.training(self);
            problems.extend(of_schedules("pretraining.auxiliary", &before.auxiliary, training));
            let own = before.training.iter();
            problems.extend(own.flat_map(|own| of_training(PRETRAINING, own)));
        }
        problems.extend(self.counterfactual_problems());
        problems.extend(self.paradigm.as_dyn().problem().map(|problem| problem.at("paradigm")));
        problems.extend(self.few_shot.and_then(FewShot::problem));
        let of_features = self.features.as_ref().and_then(ItemFeatures::problem);
        problems.extend(of_features.map(|problem| problem.at("features")));
        let of_texts = self.texts.as_ref().and_then(ItemTexts::problem);
        problems.extend(of_texts.map(|problem| problem.at("texts")));
        let of_tokens = self.tokenisation.as_ref().and_then(Tokenisation::problem);
        problems.extend(of_tokens.map(|problem| problem.at("tokenisation")));
        problems.extend(self.tokenisation_problems());
        if self.features.is_some() && self.texts.is_some() {
            problems.push(setting("texts", "set beside features", "one of the two").at("texts"));
        }
        problems
    }

    /// Attributes that cannot be exchanged, since the model is not told of them.
    fn counterfactual_problems(&self) -> Vec<Error> {
        let refused = |training: &Training, expected: &str, keys: &str| {
            let problem = setting("counterfactual", training.counterfactual.join(", "), expected);
            problem.at(&format!("{keys}.counterfactual"))
        };
        let asked = |training: &&Training| !training.counterfactual.is_empty();
        let before = self.pretraining.as_ref().and_then(|before| before.training.as_ref());
        let before = before.filter(asked).map(|training| {
            refused(training, "none, since no prompt stands before pre-training", PRETRAINING)
        });
        let own = Some(&self.training).filter(asked).and_then(|training| {
            let Some(told) = self.attributes() else {
                let expected = "none: without a personal-prompt the model is told nothing of users";
                return Some(refused(training, expected, "training"));
            };
            let unknown = training.counterfactual.iter().find(|name| !told.contains(name))?;
            let hint = suggest::hint(unknown, told.iter().map(String::as_str));
            let expected =
                format!("what the personal-prompt is made of: {}{hint}", told.join(", "));
            Some(refused(training, &expected, "training"))
        });
        before.into_iter().chain(own).collect()
    }

    /// What cannot be where items are written token by token.
    fn tokenisation_problems(&self) -> Vec<Error> {
        let Some(tokenisation) = &self.tokenisation else { return vec![] };
        let refused = |keys: &str, found: &str, expected: &str| {
            setting("with a tokenisation of items, the model", found, expected).at(keys)
        };
        let mut problems = Vec::new();
        if let Ok(shape) = self.backbone.as_dyn().shape() {
            let least = 2 * tokenisation.length();
            if shape.max_length < least {
                let expected = format!("{least} or more, two items of {} tokens", least / 2);
                let found = shape.max_length;
                problems.push(setting("max-length", found, expected).at("backbone.max-length"));
            }
            if self.sides() != Sides::Causal {
                let found = format!("on a backbone {}", self.backbone.name());
                let expected = "decoder, encoder-decoder or hstu, which go on";
                problems.push(refused("backbone", &found, expected));
            }
            if shape.style.intervals || !shape.views.is_empty() {
                let expected = "none, since tokens have no times of their own";
                problems.push(refused("backbone", "with views or intervals", expected));
            }
        }
        for (there, keys) in
            [(self.features.is_some(), "features"), (self.texts.is_some(), "texts")]
        {
            if there {
                let found = format!("with {keys}");
                let expected = "none, since tokens are no items";
                problems.push(refused(keys, &found, expected));
            }
        }
        if self.attributes().is_some() {
            let expected = "another prompt";
            problems.push(refused("paradigm", "with a personal-prompt", expected));
        }
        if self.scoring != Scoring::F32 {
            problems.push(refused("scoring", "scoring in int8", "f32: few tokens are scored"));
        }
        if self.pretraining.as_ref().is_some_and(|before| before.elsewhere.is_some()) {
            let expected = "pre-training on the same items, since codes are those of one catalog";
            problems.push(refused("pretraining.elsewhere", "pre-trained elsewhere", expected));
        }
        let suits = |objective: &AnyObjective| objective.as_dyn().suits_encoder_decoder();
        // An encoder-decoder itself asks for the same.
        let reads = self.backbone.as_dyn().shape().is_ok_and(|shape| shape.has_encoder());
        let unsuited = self.all_objectives().filter(|(_, objective)| !reads && !suits(objective));
        for (keys, objective) in unsuited {
            let found = format!("with objective {}", objective.name());
            let expected = format!(
                "one that foretells the next token: {}",
                names_of(AnyObjective::ENTRIES, suits)
            );
            problems.push(refused(&keys, &found, &expected));
        }
        problems
    }

    /// Why the recommender's own objective cannot be what a recommender learns.
    pub(super) fn objective_problems(&self) -> Vec<Error> {
        let mut problems = Vec::new();
        let (objective, name) = (self.objective.as_dyn(), self.objective.name());
        if !objective.recommends() {
            let expected = "one that foretells items; this one is for pretraining or auxiliary";
            problems.push(setting("objective", name, expected));
        }
        let views = self.backbone.as_dyn().shape().map(|shape| shape.views).unwrap_or_default();
        let needs = self.objectives().any(|(_, o)| o.as_dyn().prompted_return().is_some());
        if needs != views.has(View::Return) {
            let expected = if needs { "with view return" } else { "without view return" };
            let whose = format!("the backbone of objective {name}");
            let found = format!("with views {}", serde_json::json!(Vec::from(views)));
            problems.push(setting(&whose, found, expected).at("backbone.views"));
        }
        let shape = self.backbone.as_dyn().shape().ok();
        if shape.is_some_and(|shape| shape.has_encoder()) {
            problems.extend(self.unsuited_to_encoder_decoder());
        } else if objective.sides() != self.sides() {
            let expected = match objective.sides() {
                Sides::Both => "a bidirectional backbone",
                Sides::Causal => "a causal backbone",
            };
            let suits = |backbone: &AnyBackbone| {
                let reads = backbone.as_dyn().shape().is_ok_and(|shape| shape.has_encoder());
                sides(backbone) == objective.sides()
                    && (!reads || objective.suits_encoder_decoder())
            };
            let expected = format!("{expected}: {}", names_of(AnyBackbone::ENTRIES, suits));
            let whose = format!("the backbone of objective {name}");
            problems.push(setting(&whose, self.backbone.name(), expected).at("backbone"));
        }
        problems.extend(self.without_codes());
        problems
    }

    /// Which objectives exchange codes that items do not have.
    fn without_codes(&self) -> impl Iterator<Item = Error> {
        let has_codes = matches!(self.texts, Some(ItemTexts::Codes(_)));
        self.all_objectives().filter(move |_| !has_codes).filter_map(|(keys, objective)| {
            let expected = "0 where items are not known by codes: texts = { codes = {} }";
            Some(setting("exchanged", exchanged(objective)?, expected).at(&keys))
        })
    }

    /// Which objectives cannot be asked of an encoder–decoder.
    fn unsuited_to_encoder_decoder(&self) -> Vec<Error> {
        let unsuited = self.all_objectives().filter(|(_, o)| !o.as_dyn().suits_encoder_decoder());
        let suits = |objective: &AnyObjective| objective.as_dyn().suits_encoder_decoder();
        let problem = |(keys, objective): Keyed<'_>| {
            let suited = names_of(AnyObjective::ENTRIES, suits);
            let expected = format!("one that asks its decoder to go on: {suited}");
            setting("an objective of an encoder-decoder", objective.name(), expected).at(&keys)
        };
        unsuited.map(problem).collect()
    }

    /// What of the paradigm and of what came before it does not fit together.
    pub(super) fn paradigm_problems(&self) -> Vec<Error> {
        let paradigm = self.paradigm.as_dyn();
        let (None, Ok(shape)) = (paradigm.problem(), self.backbone.as_dyn().shape()) else {
            return vec![];
        };
        let plan = paradigm.plan(shape);
        let more: &[&str] = match (&self.features, &self.texts) {
            (Some(_), _) | (None, Some(ItemTexts::Codes(_))) => &[FEATURES],
            (None, Some(ItemTexts::Adaptor(_))) => &TEXTS,
            _ => &[],
        };
        let within = plan.inserted().find(|adapter| adapter.as_dyn().place() == Place::Within);
        let within = within.map(|_| {
            let expected = "before or after: within is for templates of text-language-model";
            setting("place", "within", expected)
        });
        let of_plan = plan.problems(shape, more).into_iter().chain(within);
        let of_plan = of_plan.map(|problem| problem.at("paradigm"));
        let mut problems: Vec<Error> = of_plan.collect();
        let length = self.tokenisation.as_ref().map_or(1, Tokenisation::length);
        let most = room((shape.max_length, length), shape.has_encoder());
        let too_long = too_long(paradigm.item_prompt(), most);
        problems.extend(too_long.map(|problem| problem.at("paradigm.prompt")));
        let name = format!("paradigm {}", self.paradigm.name());
        match &self.pretraining {
            None if plan.is_pretrained() => {
                let expected = "pretraining = { … }, or { skip = true } for its un-pretrained twin";
                problems.push(setting(&name, "without pretraining", expected).at("paradigm"));
            }
            Some(_) if !plan.is_pretrained() => {
                let expected = "no pretraining, since it is all of this paradigm; another one adapts what \
                                it gives";
                problems.push(setting(&name, "with pretraining", expected).at("pretraining"));
            }
            _ => {}
        }
        if !plan.adapts() {
            problems.extend(self.unused(&name));
        }
        let table =
            |stage: &Stage| stage.task == Task::Recommending && stage.lets_learn(shape, TABLE);
        let elsewhere = self.pretraining.as_ref().is_some_and(|before| before.elsewhere.is_some());
        problems.extend(self.permutation_problem(elsewhere && plan.adapts()));
        if elsewhere && self.own() && !plan.stages.iter().any(table) {
            let expected = "a paradigm that trains embeddings, since the items' embeddings begin anew; \
                            finetune-extra does with embeddings = true; or features or texts with own = false, so \
                            that they have none";
            problems.push(setting(&name, "with pre-training elsewhere", expected).at("paradigm"));
        }
        problems
    }

    /// Why codes cannot be permuted in a plan in which something goes over to another catalog and learns
    /// there, or does not.
    fn permutation_problem(&self, goes_over: bool) -> Option<Error> {
        let (_, epochs) = self.texts.as_ref()?.permutation()?;
        if !goes_over {
            let expected = "0 where nothing goes over to another catalog and learns from it; else \
                            pretraining.elsewhere and a paradigm that adapts what it gives";
            let problem = setting("permutation-epochs", epochs, expected);
            return Some(problem.at("texts.permutation-epochs"));
        }
        let (keys, share) =
            self.objectives().find_map(|(keys, objective)| Some((keys, exchanged(objective)?)))?;
        let expected = "0 with permutation-epochs, since which embedding is a code's is not known yet; \
                        it is for pretraining.objective";
        Some(setting("exchanged", share, expected).at(&keys))
    }

    /// Whether anything learns after pre-training.
    pub(crate) fn adapts(&self) -> bool {
        self.plan().as_ref().is_ok_and(TrainPlan::adapts)
    }

    /// What is said for nothing, or needed, where nothing learns after pre-training.
    fn unused(&self, name: &str) -> Vec<Error> {
        let mut problems = Vec::new();
        if let Some(before) = &self.pretraining {
            let expected =
                "pretraining with an objective that recommends, since nothing is learnt afterwards";
            let untaught = |keys| {
                setting(name, "without pre-training that foretells items", expected).at(keys)
            };
            let recommends = before.objective.as_ref().is_none_or(|o| o.as_dyn().recommends());
            if before.skip {
                problems.push(untaught("pretraining.skip"));
            } else if !recommends {
                problems.push(untaught("pretraining.objective"));
            }
        }
        let absent = |what: &str| format!("none: {name} learns nothing after pre-training{what}");
        if self.few_shot.is_some() {
            problems.push(setting("few-shot", "set", absent(", which sees all users")));
        }
        if !self.auxiliary.is_empty() {
            let n = format!("{} objectives", self.auxiliary.len());
            problems.push(setting("auxiliary", n, absent("; pretraining has an auxiliary too")));
        }
        problems
    }
}

/// The probability with which an objective exchanges codes of items, if it does.
fn exchanged(objective: &AnyObjective) -> Option<f64> {
    match objective {
        AnyObjective::SequenceItemContrast(contrast) => {
            Some(contrast.exchanged).filter(|share| *share > 0.0)
        }
        _ => None,
    }
}

/// The names of those entries of a table which, with nothing set, are such.
pub(super) fn names_of<T: DeserializeOwned>(entries: &[Entry], are: impl Fn(&T) -> bool) -> String {
    let such = entries
        .iter()
        .map(|entry| entry.name)
        .filter(|name| usual(name).is_some_and(|entry| are(&entry)));
    such.collect::<Vec<_>>().join(", ")
}

/// Numbers that cannot be used, by the keys of the training.
fn of_training(keys: &str, training: &Training) -> Vec<Error> {
    let problems = training.problems().into_iter();
    problems.map(|problem| Error::from(problem).at(keys)).collect()
}

/// Objectives that are asked twice with the same settings.
fn repeated<'o>(objectives: impl Iterator<Item = Keyed<'o>>) -> Vec<Error> {
    let objectives: Vec<Keyed<'o>> = objectives.collect();
    let again = objectives.iter().enumerate().filter(|&(i, (_, objective))| {
        objectives[..i].iter().any(|(_, before)| before == objective)
    });
    let problem = |(_, (keys, objective)): (usize, &Keyed<'o>)| {
        let found = format!("{} once more with the same settings", objective.name());
        setting("objective", found, "another one, or a schedule that gives the first more weight")
            .at(keys)
    };
    again.map(problem).collect()
}

/// Why a backbone that reads `most` items cannot be shown what the prompt says.
fn too_long(prompt: ItemPrompt, most: usize) -> Option<Error> {
    let ItemPrompt { last, repeat } = prompt;
    let n = last.max(repeat);
    let (name, found) = if last > most { ("last", last) } else { ("repeat", repeat) };
    let expected = format!("at most {most}, as many items as the backbone reads");
    (n > most).then(|| setting(name, found, expected))
}

/// Schedules that cannot be, or by which an objective never counts.
fn of_schedules(keys: &str, auxiliary: &[Auxiliary], training: &Training) -> Vec<Error> {
    let problem = |schedule: Schedule| match schedule.problem() {
        None if !schedule.ever_counts(training.epochs) => {
            let found = format!("0 in each of {} epochs", training.epochs);
            Some(setting("weight", found, "a schedule by which the objective counts at some time"))
        }
        problem => problem.map(Error::from),
    };
    let schedules = auxiliary.iter().enumerate();
    let problems = schedules.filter_map(|(i, auxiliary)| {
        Some(problem(auxiliary.schedule)?.at(&format!("{keys}.{i}.schedule")))
    });
    problems.collect()
}
