//! From what a language model over text says to items.

use tastemaker_core::{ItemId, RankOptions, RecQuery, registry};
use tastemaker_nn::text::CausalModel;

use crate::prompts::{Prompter, Prompting, Template};
use crate::{Error, Result};

mod answer_words;
mod constrained_titles;
mod likelihood;

pub use answer_words::AnswerWords;
pub use constrained_titles::ConstrainedTitles;
pub use likelihood::Likelihood;

/// The settings of a way to read items out of a language model.
pub trait Verbalizer {
    /// Makes it ready for a catalog.
    fn prepare(&self, reader: &Reader) -> Result<Box<dyn Verbalize>>;

    /// Whether it reads every candidate, and so cannot rank over the whole catalog.
    fn needs_candidates(&self) -> bool {
        true
    }

    /// Whether each candidate has a prompt of its own, which speaks of `item`.
    fn asks_about_items(&self) -> bool {
        false
    }

    /// What of the settings cannot be used.
    fn problem(&self) -> Option<Error> {
        None
    }
}

/// A way to read items out of a language model.
pub trait Verbalize: Send + Sync {
    /// Items with their scores, of those that are asked for.
    fn scores(
        &self,
        reader: &Reader,
        query: &RecQuery<'_>,
        options: &RankOptions<'_>,
    ) -> Result<Vec<(ItemId, f32)>>;
}

/// A model, and what makes prompts for it.
#[derive(Debug)]
pub struct Reader {
    /// What reads.
    pub model: CausalModel,
    /// What it is told.
    pub prompter: Prompter,
}

registry! {
    /// Every way to read items out of a language model over text.
    pub enum AnyVerbalizer: Verbalizer {
        /// How much likelier good words are than bad ones as the answer about each candidate.
        "answer-words" => AnswerWords(AnswerWords),
        /// Titles that the model writes itself where it can write titles of the catalog alone.
        "constrained-titles" => ConstrainedTitles(ConstrainedTitles),
        /// How likely each candidate's title is after the prompt.
        "likelihood" => Likelihood(Likelihood),
    }
}

impl Reader {
    /// The tokens of each item's title, with what `title` makes of it; nothing where there is none.
    fn titles(&self, title: impl Fn(&str) -> String) -> Result<Vec<Vec<u32>>> {
        let data = self.prompter.data();
        let items = (0..).map(ItemId).take(data.n_items());
        let text = |item| match data.catalog.title(item) {
            Some(written) if !written.trim().is_empty() => title(written),
            _ => String::new(),
        };
        let titles: Vec<String> = items.map(text).collect();
        Ok(self.prompter.tokenizer().encode_as_it_is(&titles)?)
    }
}

/// What of prompting and verbalizer does not fit together.
pub(crate) fn unfitting(prompting: &Prompting, verbalizer: &AnyVerbalizer) -> Option<Error> {
    let template = Template::parse(&prompting.template).ok()?;
    let asks = verbalizer.as_dyn().asks_about_items();
    if template.speaks_of("item") == asks {
        return None;
    }
    let expected = if asks {
        "one that speaks of item, since each candidate has a prompt of its own"
    } else {
        "one that does not speak of item, since one prompt is for all candidates"
    };
    let found = format!("{:?}", prompting.template);
    let whose = format!("the template of verbalizer {}", verbalizer.name());
    Some(crate::error::setting(&whose, found, expected).at("prompt.template"))
}
