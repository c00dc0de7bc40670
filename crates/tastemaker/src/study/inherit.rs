//! What arms take over from the top of a study.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;

/// What the top of a study says for every arm that is a language model, and its arms may say
/// themselves.
const SHARED: [&str; 5] = ["backbone", "features", "training", "pretraining", "few-shot"];

/// What of their training those that learn from few do otherwise, where few users make few steps an epoch.
const OF_FEW: &str = "few-shot-training";

/// Which arms take over what, by keys: those of a section, of `training` those of single settings.
#[derive(Default)]
pub(super) struct Inherited {
    taken: BTreeSet<String>,
    /// The arms that say it themselves.
    own: BTreeMap<String, Vec<String>>,
}

impl Inherited {
    /// What the language model of `arm` does not say about backbone, training and pre-training, the
    /// top of the study says; what it does not say about the training of its pre-training, its own
    /// training says.
    pub(super) fn inherit<'t>(
        &mut self,
        document: &Document<'t>,
        (arm, kind): (&str, &str),
        model: &mut DeTable<'t>,
    ) {
        let (pretraining, instead) = self.of_few(document, (arm, kind), model).unzip();
        let instead = instead.unwrap_or_default();
        for name in SHARED {
            let Some(shared) = document.table.get(name) else { continue };
            let of_items = ["features", "few-shot"].contains(&name) && kind != "language-model";
            let suits = match name {
                "pretraining" => adapts(model, &["pretrain"]),
                "few-shot" => adapts(model, &["pretrain", "prompt-free"]),
                _ => true,
            };
            if of_items || !suits {
                continue;
            }
            let mut note = |keys: String, taken: bool| {
                if taken {
                    self.taken.insert(keys);
                } else {
                    self.own.entry(keys).or_default().push(arm.to_owned());
                }
            };
            match model.get_mut(name).map(Spanned::get_mut) {
                None => {
                    for keys in keys(name, shared.get_ref()) {
                        note(keys, true);
                    }
                    let key = Spanned::new(shared.span(), Cow::Borrowed(name));
                    model.insert(key, shared.clone());
                }
                Some(own) if name == "training" => {
                    let taken = fill(own, shared.get_ref());
                    for keys in keys(name, shared.get_ref()) {
                        let key = &keys["training.".len()..];
                        // What is said of few shots stands before it, and pre-training takes it.
                        let taken = taken.contains(key) || instead.contains(key);
                        note(keys, taken);
                    }
                }
                Some(_) => note(name.to_owned(), false),
            }
        }
        let few = pretraining.is_some();
        let Some(mut training) = pretraining.or_else(|| model.get("training").cloned()) else {
            return;
        };
        if let DeValue::Table(training) = training.get_mut() {
            // No prompt stands before pre-training.
            training.remove("counterfactual");
        }
        if let Some(DeValue::Table(own)) = model.get_mut("pretraining").map(Spanned::get_mut) {
            match own.get_mut("training").map(Spanned::get_mut) {
                Some(own) => drop(fill(own, training.get_ref())),
                None if few => {
                    own.insert(Spanned::new(training.span(), Cow::Borrowed("training")), training);
                }
                None => {}
            }
        }
    }

    /// Puts what is said of the training of those that learn from few into an arm that does, if anything is;
    /// answers by what its pre-training learns, which is as it was, and what was put in.
    fn of_few<'t>(
        &mut self,
        document: &Document<'t>,
        (arm, kind): (&str, &str),
        model: &mut DeTable<'t>,
    ) -> Option<(Spanned<DeValue<'t>>, BTreeSet<String>)> {
        let few = document.table.get(OF_FEW).filter(|few| few.get_ref().is_table())?;
        let shots = document.table.contains_key("few-shot") || model.contains_key("few-shot");
        if kind != "language-model" || !shots || !adapts(model, &["pretrain", "prompt-free"]) {
            return None;
        }
        let empty = || Spanned::new(few.span(), DeValue::Table(DeTable::new()));
        let mut before = model.get("training").cloned().unwrap_or_else(empty);
        let mut own = before.clone();
        let taken = fill(own.get_mut(), few.get_ref());
        for keys in keys(OF_FEW, few.get_ref()) {
            if taken.contains(keys.rsplit('.').next().unwrap_or_default()) {
                self.taken.insert(keys);
            } else {
                self.own.entry(keys).or_default().push(arm.to_owned());
            }
        }
        model.insert(Spanned::new(few.span(), Cow::Borrowed("training")), own);
        if let Some(shared) = document.table.get("training") {
            fill(before.get_mut(), shared.get_ref());
        }
        Some((before, taken))
    }

    /// Reports what no arm could take over, and takes note of what the command line sets past some arms.
    pub(super) fn check(&self, document: &mut Document<'_>) {
        for name in SHARED.into_iter().chain([OF_FEW]) {
            let Some(shared) = document.table.get(name) else { continue };
            if name == OF_FEW && !shared.get_ref().is_table() {
                let example = "expected for example [few-shot-training] with batch-size = 8";
                document.report_at(OF_FEW, format!("{OF_FEW} is no table, {example}"));
                continue;
            }
            for keys in keys(name, shared.get_ref()) {
                if self.taken.contains(&keys) || self.own.contains_key(&keys) {
                    continue;
                }
                let why = match name {
                    "pretraining" | "few-shot" => "no arm adapts a pre-trained language model",
                    OF_FEW => "no arm learns from few shots",
                    _ => "no arm is a language model",
                };
                document.report_at(&keys, format!("{keys} has no effect, since {why}"));
            }
        }
        for set in document.texts.overrides() {
            let of = |keys: &str| {
                set.path == keys
                    || set.path.starts_with(&format!("{keys}."))
                    || keys.starts_with(&format!("{}.", set.path))
            };
            let own: BTreeSet<&str> = self
                .own
                .iter()
                .filter(|(keys, _)| of(keys))
                .flat_map(|(_, arms)| arms.iter().map(String::as_str))
                .collect();
            if !own.is_empty() {
                let arms = own.into_iter().collect::<Vec<_>>().join(", ");
                document.notes.push(format!(
                    "--set {} has no effect on arms that say their own: {arms}",
                    set.line
                ));
            }
        }
    }
}

/// The keys by which what a shared section says is told apart.
fn keys(name: &str, shared: &DeValue<'_>) -> Vec<String> {
    match shared {
        DeValue::Table(settings) if ["training", OF_FEW].contains(&name) => {
            settings.keys().map(|key| format!("{name}.{}", key.get_ref())).collect()
        }
        _ => vec![name.to_owned()],
    }
}

/// Whether a language model as it was written has a paradigm, and none of these.
fn adapts(model: &DeTable<'_>, others: &[&str]) -> bool {
    let paradigm = model.get("paradigm").and_then(|paradigm| paradigm.get_ref().as_table());
    paradigm.is_some_and(|paradigm| others.iter().all(|other| !paradigm.contains_key(*other)))
}

/// Puts single settings of the shared training into an arm's own that does not say them; says
/// which.
fn fill<'t>(own: &mut DeValue<'t>, shared: &DeValue<'t>) -> BTreeSet<String> {
    let mut taken = BTreeSet::new();
    if let (DeValue::Table(own), DeValue::Table(shared)) = (own, shared) {
        for (key, value) in shared {
            if !own.contains_key(key.get_ref().as_ref()) {
                own.insert(key.clone(), value.clone());
                taken.insert(key.get_ref().to_string());
            }
        }
    }
    taken
}
