//! From what value on a sign is how severe: data, with reasons and sources.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tastemaker_core::{Error, Result};
use tastemaker_eval::metrics::Better;

use crate::harms::AnyHarm;
use crate::{Autonomy, Context, Indicator, Sector, Severity, Sign, Threshold, reading};

/// The levels that come with the program.
const USUAL: &str = include_str!("../data/levels.toml");

/// From what value on each sign is how severe, and what the context of use makes of it.
///
/// # How severe an indicator is
/// A level is reached where the whole interval is beyond its threshold (the value, where there is no
/// interval); by the value alone it is suspected. Then each rule whose conditions hold makes worse what is
/// at least as severe as the rule asks for, in the order of the file.
///
/// # As a file
/// [`Levels::with_file`] reads a TOML file like the one that comes with the program,
/// `crates/tastemaker-audit/data/levels.toml`. It is no legal advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Levels {
    /// Thresholds.
    #[serde(default, rename = "level")]
    pub levels: Vec<Level>,
    /// What the context makes of them.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// The thresholds of one sign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Level {
    /// The harm's name.
    pub harm: String,
    /// The sign's name.
    pub sign: String,
    /// From what on it is how severe.
    pub threshold: Threshold,
}

/// What makes a harm worse in some contexts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// The rule's name.
    pub name: String,
    /// When it holds: all that is said must be so.
    #[serde(default)]
    pub when: When,
    /// Of which harms; of all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harms: Vec<String>,
    /// Only what is at least so severe is made worse.
    pub from: Severity,
    /// By how many levels it is made worse.
    #[serde(default)]
    pub raise: usize,
    /// How severe it is at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Severity>,
    /// Why.
    pub reason: String,
    /// Who says so; `judgement` where it is nobody but us.
    pub source: String,
}

/// When a rule holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct When {
    /// Whether there are children among those who are recommended to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minors: Option<bool>,
    /// The recommender does one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub autonomy: Vec<Autonomy>,
    /// It is a part of one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sectors: Vec<Sector>,
    /// Whether those who are exposed are told apart by a sensitive attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// At least this share of those who are recommended to is exposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_at_least: Option<f64>,
}

impl When {
    fn holds(&self, indicator: &Indicator, context: &Context) -> bool {
        let exposed = &indicator.exposed;
        self.minors.is_none_or(|minors| minors == context.minors)
            && (self.autonomy.is_empty() || self.autonomy.contains(&context.autonomy))
            && (self.sectors.is_empty() || self.sectors.contains(&context.sector))
            && self.protected.is_none_or(|protected| protected == exposed.protected)
            && self.exposed_at_least.is_none_or(|least| exposed.share >= least)
    }
}

impl Levels {
    /// Those that come with the program.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn usual() -> Self {
        let path = Path::new("levels.toml");
        let read = || -> Result<Self> {
            let levels: Self = reading::text(path, USUAL)?;
            levels.check(path)?;
            Ok(levels)
        };
        read().expect("a test reads them")
    }

    /// The same, with what the file at `path` says of signs and of rules instead of what is said of them
    /// here.
    pub fn with_file(mut self, path: &Path) -> Result<Self> {
        let own: Self = reading::file(path)?;
        own.check(path)?;
        for level in own.levels {
            let same = |known: &Level| known.harm == level.harm && known.sign == level.sign;
            match self.levels.iter().position(same) {
                Some(at) => self.levels[at] = level,
                None => self.levels.push(level),
            }
        }
        for rule in own.rules {
            match self.rules.iter().position(|known| known.name == rule.name) {
                Some(at) => self.rules[at] = rule,
                None => self.rules.push(rule),
            }
        }
        Ok(self)
    }

    /// Says of `indicator`, a sign of `harm`, how severe it is in `context`.
    pub fn judge(&self, harm: &str, indicator: &mut Indicator, context: &Context) {
        let of = |level: &&Level| level.harm == harm && level.sign == indicator.name;
        let level = self.levels.iter().find(of).filter(|_| !indicator.hypothetical);
        let Some(level) = level else { return };
        let threshold = level.threshold.clone();
        // The end of the interval that is nearer to what is better.
        let surely = match (indicator.interval, indicator.better) {
            (None, _) => indicator.value,
            (Some([low, _]), Better::Lower) => low,
            (Some([_, high]), Better::Higher) => high,
        };
        let found = threshold.severity(surely, indicator.better);
        let (severity, because) = self.in_context(harm, found, indicator, context);
        indicator.because = because;
        if found > Severity::Minimal {
            indicator.because.insert(0, threshold.reason.clone());
        }
        let by_value = threshold.severity(indicator.value, indicator.better);
        indicator.suspected = Some(self.in_context(harm, by_value, indicator, context).0);
        indicator.severity = Some(severity);
        indicator.threshold = Some(threshold);
    }

    /// What the rules make of `severity`, and why.
    fn in_context(
        &self,
        harm: &str,
        mut severity: Severity,
        indicator: &Indicator,
        context: &Context,
    ) -> (Severity, Vec<String>) {
        let mut because = Vec::new();
        for rule in &self.rules {
            let of = rule.harms.is_empty() || rule.harms.iter().any(|known| known == harm);
            if of && severity >= rule.from && rule.when.holds(indicator, context) {
                let before = severity;
                severity = severity.raised(rule.raise).max(rule.at_least.unwrap_or(severity));
                if severity > before {
                    because.push(format!("{}: {}", rule.name, rule.reason));
                }
            }
        }
        (severity, because)
    }

    /// Refuses names that are none and thresholds that do not follow each other.
    fn check(&self, path: &Path) -> Result<()> {
        for level in &self.levels {
            let sign = sign(&level.harm, &level.sign)
                .map_err(|error| Error::file(path, error.to_string()))?;
            let levels: Vec<f64> = level.threshold.levels().map(|(_, at)| at).collect();
            let follow = levels.windows(2).all(|pair| match sign.better {
                Better::Lower => pair[0] < pair[1],
                Better::Higher => pair[0] > pair[1],
            });
            let within = levels.iter().all(|at| (sign.range.0..=sign.range.1).contains(at));
            if levels.is_empty() {
                let problem = format!("the threshold of {} has no level", level.sign);
                return Err(Error::file(path, problem));
            }
            if !follow || !within {
                let order = if sign.better == Better::Lower { "ascend" } else { "descend" };
                let problem = format!(
                    "the thresholds of {} are {levels:?}, expected numbers from {} to {} that \
                        {order}",
                    level.sign, sign.range.0, sign.range.1
                );
                return Err(Error::file(path, problem));
            }
        }
        let harms = || AnyHarm::ENTRIES.iter().map(|entry| entry.name);
        for harm in self.rules.iter().flat_map(|rule| &rule.harms) {
            if !harms().any(|known| known == harm) {
                let problem = Error::unknown("harm", harm, harms()).to_string();
                return Err(Error::file(path, problem));
            }
        }
        Ok(())
    }
}

/// The sign `name` of the harm `harm`.
fn sign(harm: &str, name: &str) -> Result<&'static Sign> {
    let all = AnyHarm::all();
    let names = all.iter().map(AnyHarm::name);
    let Some(found) = all.iter().find(|known| known.name() == harm) else {
        return Err(Error::unknown("harm", harm, names));
    };
    let signs = found.as_dyn().signs();
    let names = signs.iter().map(|sign| sign.name);
    signs.iter().find(|sign| sign.name == name).ok_or_else(|| Error::unknown("sign", name, names))
}
