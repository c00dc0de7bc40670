//! Nobody can tell how it was made, by whom it may be changed, or what it costs.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tastemaker_core::{Result, SeedTree};

use super::Harm;
use crate::Stakeholder::{EndUser, Environment, SupplyChain, SystemDesigner};
use crate::{Notes, Sign, Subject, reading};

/// The fields that a record should have.
const FIELDS: &str = include_str!("../../data/provenance.toml");

const UNIT: (f64, f64) = (0.0, 1.0);
const COSTS: (f64, f64) = (0.0, f64::INFINITY);

const SIGNS: &[Sign] = &[
    Sign::higher(
        "record-completeness",
        UNIT,
        &[SystemDesigner, SupplyChain],
        "share of the fields of the provenance record that are filled in",
    ),
    Sign::higher(
        "licences-known",
        UNIT,
        &[SupplyChain],
        "share of the fields about licences that are filled in",
    ),
    Sign::higher(
        "repeatable",
        UNIT,
        &[SystemDesigner],
        "share of the fields about seeds, hashes and versions that are filled in",
    ),
    Sign::higher(
        "oversight",
        UNIT,
        &[EndUser, SystemDesigner],
        "share of the fields about who answers, who may change what, and how a person overrides \
            that are filled in",
    ),
    Sign::lower("energy-kwh", COSTS, &[Environment], "seconds × watts × overhead / 3,600,000"),
    Sign::lower("emissions-kg", COSTS, &[Environment], "kWh × grams of CO₂ a kWh / 1000"),
];

/// Nobody can tell how it was made, by whom it may be changed, or what it costs.
///
/// # Energy
/// Not measured but reckoned from seconds of computing; the watts of the machine, the overhead of its
/// building and the grams of CO₂ of its grid are settings, to be set to what is known. As they are: 65 W, a
/// small server's processor; 1.58, the mean overhead of data centres in Strubell et al. 2019; 475 g, the
/// world's mean of 2019 (International Energy Agency).
///
/// # References
/// Gebru et al. 2021 and Mitchell et al. 2019 for records; regulation (EU) 2024/1689, annex IV, for what
/// documentation holds; Lacoste et al. 2019 for emissions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Governance {
    /// Watts of the machine.
    pub watts: f64,
    /// Watts of the building for each of the machine.
    pub overhead: f64,
    /// Grams of CO₂ a kWh.
    pub grams_a_kwh: f64,
}

impl Default for Governance {
    fn default() -> Self {
        Self { watts: 65.0, overhead: 1.58, grams_a_kwh: 475.0 }
    }
}

/// A field of the provenance record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Field {
    name: String,
    /// Of which sign it is a part, beside `record-completeness`; of none where empty.
    sign: String,
    /// What is to be said, and why.
    asks: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Fields {
    field: Vec<Field>,
}

fn fields() -> Vec<Field> {
    let read: Result<Fields> = reading::text(Path::new("provenance.toml"), FIELDS);
    read.expect("a test reads them").field
}

impl Governance {
    /// The fields that a provenance record should have, each with what it asks.
    pub fn fields() -> Vec<(String, String)> {
        fields().into_iter().map(|field| (field.name, field.asks)).collect()
    }
}

impl Harm for Governance {
    fn signs(&self) -> &'static [Sign] {
        SIGNS
    }

    fn probe(&self, subject: &Subject<'_>, notes: &mut Notes, _: &SeedTree) -> Result<()> {
        record(subject, notes);
        match subject.evidence.seconds {
            None => {
                let reason = "how long it computed was not given";
                notes.cannot_all(&["energy-kwh", "emissions-kg"], "", reason);
            }
            Some(seconds) => {
                let energy = seconds * self.watts * self.overhead / 3.6e6;
                let how = format!(
                    "; reckoned from {seconds} s, {} W, an overhead of {} and {} g a kWh, and not \
                        measured",
                    self.watts, self.overhead, self.grams_a_kwh
                );
                notes.value("energy-kwh", "", energy, None, 1).protocol.push_str(&how);
                let emissions = energy * self.grams_a_kwh / 1000.0;
                notes.value("emissions-kg", "", emissions, None, 1).protocol.push_str(&how);
            }
        }
        Ok(())
    }

    fn lessened_by(&self) -> &'static [&'static str] {
        &[
            "the empty fields of the record filled in",
            "a person who can stop it and go back to an earlier state",
            "audits repeated, and gates on them before a release",
            "smaller models, fewer epochs, a grid with less CO₂",
        ]
    }
}

fn record(subject: &Subject<'_>, notes: &mut Notes) {
    let fields = fields();
    let data = subject.scope.data;
    let filled = |field: &&Field| {
        let given = subject.evidence.provenance.get(&field.name);
        given.is_some_and(|value| !value.trim().is_empty())
            // What the subject itself says.
            || match &field.name[..] {
                "data-hash" => !data.hash.is_empty(),
                "split-hash" => !subject.scope.split.hash().is_empty(),
                _ => false,
            }
    };
    for sign in ["record-completeness", "licences-known", "repeatable", "oversight"] {
        let own: Vec<&Field> = fields
            .iter()
            .filter(|field| sign == "record-completeness" || field.sign == sign)
            .collect();
        let empty: Vec<&str> =
            own.iter().filter(|field| !filled(field)).map(|field| &field.name[..]).collect();
        let share = 1.0 - empty.len() as f64 / own.len() as f64;
        let told =
            if empty.is_empty() { String::new() } else { format!("; empty: {}", empty.join(", ")) };
        notes.value(sign, "", share, None, own.len()).protocol.push_str(&told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_asks_something_and_belongs_to_a_sign_that_there_is() {
        for field in fields() {
            let known = SIGNS.iter().any(|sign| sign.name == field.sign);
            assert!((known || field.sign.is_empty()) && field.asks.ends_with('.'), "{field:?}");
        }
    }
}
