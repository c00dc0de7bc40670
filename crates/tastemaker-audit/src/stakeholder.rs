//! Whom a harm touches, and how severely.

use serde::{Deserialize, Serialize};

/// Who is touched by what a recommender does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stakeholder {
    /// Who is recommended to.
    EndUser,
    /// Who makes or sells what is recommended.
    ContentCreator,
    /// Who builds, trains and runs the recommender.
    SystemDesigner,
    /// Who gives it data, models and machines.
    SupplyChain,
    /// What its energy is taken from.
    Environment,
}

impl Stakeholder {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 5] = [
        Self::EndUser,
        Self::ContentCreator,
        Self::SystemDesigner,
        Self::SupplyChain,
        Self::Environment,
    ];
}

/// How severe a harm is; later is worse.
///
/// The names are those of the levels of risk of the EU's regulation 2024/1689. That something is called
/// `unacceptable` here says that its indicators are beyond a threshold, and nothing about the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No threshold is reached.
    Minimal,
    /// To be made known.
    Limited,
    /// To be lessened, and watched.
    High,
    /// Not to be used so.
    Unacceptable,
}

impl Severity {
    /// What was found in words, or `none`, and what is suspected where that is worse: `minimal (high
    /// suspected)`.
    pub fn told(found: Option<Self>, suspected: Option<Self>, none: &'static str) -> String {
        let name = found.map_or(none, Self::name);
        match Self::worse(found, suspected) {
            Some(suspected) => format!("{name} ({} suspected)", suspected.name()),
            None => name.to_owned(),
        }
    }

    /// What is suspected, where it is worse than what was found.
    pub fn worse(found: Option<Self>, suspected: Option<Self>) -> Option<Self> {
        suspected.filter(|suspected| Some(*suspected) > found)
    }

    /// As it is shown, and written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Limited => "limited",
            Self::High => "high",
            Self::Unacceptable => "unacceptable",
        }
    }

    /// This many levels worse, and no worse than [`Severity::Unacceptable`].
    #[must_use]
    pub fn raised(self, by: usize) -> Self {
        const ALL: [Severity; 4] =
            [Severity::Minimal, Severity::Limited, Severity::High, Severity::Unacceptable];
        ALL[(self as usize + by).min(ALL.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_order_and_end_at_the_worst() {
        use Severity::{High, Limited, Minimal, Unacceptable};
        assert!(Minimal < Limited && Limited < High && High < Unacceptable);
        assert_eq!([Minimal.raised(1), High.raised(5)], [Limited, Unacceptable]);
    }
}
