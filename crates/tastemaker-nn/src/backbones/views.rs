//! What is told of a token beside itself.

use serde::{Deserialize, Serialize};

/// One thing that is told of a token beside itself, as a number of a few; 0 is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// How long after the token before it: the whole part of the logarithm to base 2 of one more
    /// than the seconds between.
    Gap,
    /// The hour of the day, in UTC.
    Hour,
    /// The day of the week, in UTC.
    Weekday,
    /// The month, in UTC.
    Month,
    /// How much value comes after the item, that of the k-th one times 0.9^(k−1): in which
    /// sixteenth of those of the training part.
    Return,
}

impl View {
    /// Every view, in their order.
    pub const ALL: [Self; 5] = [Self::Gap, Self::Hour, Self::Weekday, Self::Month, Self::Return];

    /// How many numbers there are, the unknown one included.
    pub fn n(self) -> usize {
        match self {
            Self::Gap => 33,
            Self::Hour => 25,
            Self::Weekday => 8,
            Self::Month => 13,
            Self::Return => 17,
        }
    }

    /// The parameter that embeds the numbers: [n, width].
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Gap => "embedding.view.gap",
            Self::Hour => "embedding.view.hour",
            Self::Weekday => "embedding.view.weekday",
            Self::Month => "embedding.view.month",
            Self::Return => "embedding.view.return",
        }
    }
}

/// Some of the views, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<View>", into = "Vec<View>")]
pub struct Views {
    has: [bool; View::ALL.len()],
}

impl Views {
    /// Them, in the order of [`View::ALL`].
    pub fn iter(self) -> impl Iterator<Item = View> {
        View::ALL.into_iter().zip(self.has).filter(|(_, has)| *has).map(|(view, _)| view)
    }

    /// Whether `view` is one of them.
    pub fn has(self, view: View) -> bool {
        self.iter().any(|other| other == view)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl From<Vec<View>> for Views {
    fn from(views: Vec<View>) -> Self {
        Self { has: View::ALL.map(|view| views.contains(&view)) }
    }
}

impl From<Views> for Vec<View> {
    fn from(views: Views) -> Self {
        views.iter().collect()
    }
}
