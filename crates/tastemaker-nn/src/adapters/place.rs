//! Where a prompt stands.

use serde::{Deserialize, Serialize};

/// Where a prompt stands.
///
/// Before or after, its vectors have no embedding of a place, so that items keep those of
/// pre-training; where a backbone's positions are relative or rotary, they are as far from the
/// items as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Before the sequence.
    #[default]
    Before,
    /// After the sequence, and after the mask in the place of the next item, where there is one.
    ///
    /// Where tokens see what came before them, nothing in the sequence sees these vectors, so what
    /// the last token has found is read at the last of them; a window teaches them one target.
    /// Where tokens see all, they see these vectors, and each keeps what it has found.
    After,
    /// Within the prompts of a language model over text, where a template says so.
    Within,
}

impl Place {
    /// Whether it is before the sequence.
    pub fn is_before(&self) -> bool {
        *self == Self::Before
    }

    /// What the names of the parameters of an adapter there end in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Before => "",
            Self::After => "-after",
            Self::Within => "-within",
        }
    }
}
