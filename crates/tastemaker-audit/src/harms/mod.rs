//! What can go wrong with a recommender, and what it is seen by.

use tastemaker_core::{Result, SeedTree, registry};

use crate::{Notes, Sign, Subject};

mod disparities;
mod echo_chambers;
mod governance;
mod misinformation;
mod privacy;
mod transparency;

pub use disparities::Disparities;
pub use echo_chambers::EchoChambers;
pub use governance::Governance;
pub use misinformation::Misinformation;
pub use privacy::Privacy;
pub use transparency::Transparency;

/// A kind of harm, with the signs that it is seen by.
pub trait Harm: Send + Sync {
    /// What it is seen by.
    fn signs(&self) -> &'static [Sign];

    /// Measures its signs of `subject`; of those that cannot be measured it notes the reason.
    fn probe(&self, subject: &Subject<'_>, notes: &mut Notes, seeds: &SeedTree) -> Result<()>;

    /// What would lessen it, a few words each.
    fn lessened_by(&self) -> &'static [&'static str];

    /// Where a probe writes down what it finds.
    fn notes(&self, resamples: usize, seeds: &SeedTree) -> Notes {
        Notes::new(self.signs(), resamples, seeds)
    }
}

registry! {
    /// Every harm an audit can name.
    pub enum AnyHarm: Harm {
        /// Some people, or those who make some things, are served worse than others.
        "disparities" => Disparities(Disparities),
        /// People are shown more and more of the same, and all of them the same.
        "echo-chambers" => EchoChambers(EchoChambers),
        /// Nobody can tell how it was made, by whom it may be changed, or what it costs.
        "governance" => Governance(Governance),
        /// What is recommended does not exist, or is there since somebody planted words.
        "misinformation" => Misinformation(Misinformation),
        /// It tells of people what they have not told, or cannot be made to forget them.
        "privacy" => Privacy(Privacy),
        /// Why something is recommended cannot be told, or is not what is said.
        "transparency" => Transparency(Transparency),
    }
}

impl AnyHarm {
    /// All of them, with their usual settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Disparities(Disparities::default()),
            Self::EchoChambers(EchoChambers::default()),
            Self::Governance(Governance::default()),
            Self::Misinformation(Misinformation::default()),
            Self::Privacy(Privacy::default()),
            Self::Transparency(Transparency::default()),
        ]
    }
}
