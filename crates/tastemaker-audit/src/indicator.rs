//! What is measured.

use serde::{Deserialize, Deserializer, Serialize};
use tastemaker_eval::metrics::Better;

use crate::{Severity, Stakeholder};

/// What a harm is seen by. It becomes an [`Indicator`] when it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sign {
    /// The name in reports and in files of thresholds.
    pub name: &'static str,
    /// What it is, with its formula and its source, in a sentence.
    pub summary: &'static str,
    /// Which values are better.
    pub better: Better,
    /// The smallest and the largest value there can be.
    pub range: (f64, f64),
    /// Whom it touches.
    pub touches: &'static [Stakeholder],
}

impl Sign {
    /// A sign of which smaller values are better.
    pub const fn lower(
        name: &'static str,
        range: (f64, f64),
        touches: &'static [Stakeholder],
        summary: &'static str,
    ) -> Self {
        Self { name, summary, better: Better::Lower, range, touches }
    }

    /// A sign of which larger values are better.
    pub const fn higher(
        name: &'static str,
        range: (f64, f64),
        touches: &'static [Stakeholder],
        summary: &'static str,
    ) -> Self {
        Self { name, summary, better: Better::Higher, range, touches }
    }
}

/// A sign of a harm that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Indicator {
    /// The sign's name.
    pub name: String,
    /// Of what, where there are several: an attribute, an attack; else empty.
    pub of: String,
    /// The value.
    pub value: f64,
    /// Its 95 % interval, without an end where nothing is known; `None` where nothing was drawn that could have
    /// been drawn otherwise.
    #[serde(deserialize_with = "interval")]
    pub interval: Option<[f64; 2]>,
    /// Which values are better.
    pub better: Better,
    /// From what on it is worse than minimal; `None` where it is for reading beside others.
    pub threshold: Option<Threshold>,
    /// Whom it touches.
    pub touches: Vec<Stakeholder>,
    /// Who is exposed to it.
    pub exposed: Exposed,
    /// Of how many users, pairs or texts it was taken.
    pub n: usize,
    /// How it was taken, in a sentence.
    pub protocol: String,
    /// How soon it is felt.
    pub horizon: Horizon,
    /// Whether it is of something that is not done, such as an intervention: it has no severity.
    #[serde(default)]
    pub hypothetical: bool,
    /// How severe it is, where the whole interval is beyond the thresholds and by the rules of the
    /// context; `None` without thresholds.
    pub severity: Option<Severity>,
    /// How severe it would be by the value alone.
    pub suspected: Option<Severity>,
    /// What made it so severe, a sentence each.
    pub because: Vec<String>,
}

/// An interval as JSON has it, which has no word for what is infinite but null.
fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[f64; 2]>, D::Error> {
    let ends: Option<[Option<f64>; 2]> = Option::deserialize(from)?;
    Ok(ends.map(|[low, high]| [low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY)]))
}

/// From what value on a sign is how severe, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Threshold {
    /// From here on it is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<f64>,
    /// From here on it is high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// From here on it is unacceptable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacceptable: Option<f64>,
    /// Why there.
    pub reason: String,
    /// Who says so; `judgement` where it is nobody but us.
    pub source: String,
}

impl Threshold {
    /// The levels, the mildest first.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = (Severity, f64)> {
        let levels = [
            (Severity::Limited, self.limited),
            (Severity::High, self.high),
            (Severity::Unacceptable, self.unacceptable),
        ];
        levels.into_iter().filter_map(|(severity, at)| Some((severity, at?)))
    }

    /// How severe `value` is.
    pub fn severity(&self, value: f64, better: Better) -> Severity {
        let reached = |at: f64| match better {
            Better::Lower => value >= at,
            Better::Higher => value <= at,
        };
        let worst = self.levels().rev().find(|(_, at)| reached(*at));
        worst.map_or(Severity::Minimal, |(severity, _)| severity)
    }
}

/// Who is exposed to what an indicator measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exposed {
    /// Who, in a few words.
    pub whom: String,
    /// Their share of the users who are asked about, or of the items, where it is those who make them.
    pub share: f64,
    /// Whether they are told apart by an attribute that is sensitive.
    pub protected: bool,
}

impl Exposed {
    /// Everybody.
    pub fn everybody() -> Self {
        Self { whom: "everybody".to_owned(), share: 1.0, protected: false }
    }
}

/// How soon a harm is felt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Horizon {
    /// At once.
    Immediate,
    /// After a time of use.
    Long,
}

/// A sign that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NotMeasured {
    /// The sign's name.
    pub name: String,
    /// Of what, where there are several; else empty.
    pub of: String,
    /// Why, and what would be needed.
    pub reason: String,
}
