//! From what a language model over text says to items.

use std::sync::{Mutex, PoisonError};

use tastemaker_core::{Dataset, ItemId, RankOptions, RecQuery, registry};
use tastemaker_endpoint::{Client, Message};
use tastemaker_nn::text::{TextModel, TextTokenizer};

use crate::error::setting;
use crate::prompts::{Prompter, Prompting, Template, Told};
use crate::recommenders::Asked;
use crate::{Error, Result};

mod answer_words;
mod constrained_titles;
mod likelihood;
mod written_titles;

pub use answer_words::AnswerWords;
pub use constrained_titles::ConstrainedTitles;
pub use likelihood::Likelihood;
pub use written_titles::WrittenTitles;

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

    /// Whether it looks at probabilities of tokens, which an endpoint does not tell.
    fn needs_probabilities(&self) -> bool {
        true
    }

    /// What a model is to say where an item of this title is right, or wrong, in pieces whose tokens
    /// are apart; nothing where it is never asked so.
    fn answer(&self, title: &str, right: bool) -> Option<Vec<String>>;

    /// Whether an answer is over where the model says so, and not where a title is.
    fn ends_by_itself(&self) -> bool {
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
    ) -> Result<Named>;
}

/// Items that were read out of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// With their scores.
    pub items: Vec<(ItemId, f32)>,
    /// How many names were written.
    pub named: usize,
    /// How many of them are no item that could be named.
    pub invalid: usize,
}

impl From<Vec<(ItemId, f32)>> for Named {
    fn from(items: Vec<(ItemId, f32)>) -> Self {
        Self { items, named: 0, invalid: 0 }
    }
}

/// A model, and what makes prompts for it.
#[derive(Debug)]
pub struct Reader {
    /// What reads.
    pub model: Model,
    /// What it is told.
    pub prompter: Prompter,
}

/// A model over text.
#[derive(Debug)]
pub enum Model {
    /// Read from its file.
    Here(TextModel),
    /// Asked over the network.
    There(Asked),
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
        /// Titles that the model writes as it likes, each line taken for the item whose title it is.
        "written-titles" => WrittenTitles(WrittenTitles),
    }
}

impl Reader {
    /// The model, where its probabilities are known.
    fn here(&self) -> Result<&TextModel> {
        match &self.model {
            Model::Here(model) => Ok(model),
            Model::There(_) => Err(unfit_for_endpoints("this verbalizer")),
        }
    }

    /// The tokenizer of a model whose probabilities are known.
    fn tokenizer(&self) -> Result<&TextTokenizer> {
        self.prompter.tokenizer().ok_or_else(|| unfit_for_endpoints("this verbalizer"))
    }

    /// What the model answers when it is told this, with `most` tokens at most where it is here.
    pub(crate) fn write(&self, told: &Told<'_>, most: usize) -> Result<String> {
        match &self.model {
            Model::Here(model) => {
                let prompt = self.prompter.prompt(told, most)?.tokens;
                let written = model.generate(&prompt, most, self.prompter.stop())?;
                Ok(self.tokenizer()?.decode(&written)?)
            }
            Model::There(client) => {
                let text = self.prompter.prompt(told, 0)?.text;
                let mut messages = vec![Message { role: "user".to_owned(), content: text }];
                let system = self.prompter.system();
                if !system.is_empty() {
                    let content = system.to_owned();
                    messages.insert(0, Message { role: "system".to_owned(), content });
                }
                ask(client, &messages)
            }
        }
    }

    /// How the model goes on with a text, up to the end of the line if it is here; one that answers is
    /// asked to.
    pub(crate) fn complete(&self, text: &str, most: usize) -> Result<String> {
        let asked = format!("Go on with the last line, and write nothing else.\n\n{text}");
        match &self.model {
            Model::Here(model) => {
                let tokenizer = self.tokenizer()?;
                let text = if matches!(model, TextModel::T5(_)) { &asked } else { text };
                let prompt = tokenizer.encode(&[text])?.concat();
                // Some tokenizers put something before it.
                let end = tokenizer.encode_as_it_is(&["\n"])?.concat().pop();
                let stop: Vec<u32> = self.prompter.stop().iter().copied().chain(end).collect();
                Ok(tokenizer.decode(&model.generate(&prompt, most, &stop)?)?)
            }
            Model::There(client) => {
                ask(client, &[Message { role: "user".to_owned(), content: asked }])
            }
        }
    }

    /// The mean log-probability of a token of each continuation of a text; `None` of a model that
    /// does not tell.
    pub(crate) fn likelihoods(
        &self,
        text: &str,
        continuations: &[&str],
    ) -> Result<Option<Vec<f32>>> {
        let Model::Here(model) = &self.model else { return Ok(None) };
        let tokenizer = self.tokenizer()?;
        let prompt = tokenizer.encode(&[text])?.concat();
        let tokens = tokenizer.encode_as_it_is(continuations)?;
        let answers: Vec<(usize, &[u32])> = tokens.iter().map(|tokens| (0, &tokens[..])).collect();
        let all = model.log_probabilities(&[prompt], &answers)?;
        let mean = |of: Vec<f32>| of.iter().sum::<f32>() / of.len().max(1) as f32;
        Ok(Some(all.into_iter().map(mean).collect()))
    }

    /// The tokens of each item's title, with what `title` makes of it; nothing where there is none.
    fn titles(&self, title: impl Fn(&str) -> String) -> Result<Vec<Vec<u32>>> {
        let data = self.prompter.data();
        let items = (0..).map(ItemId).take(data.n_items());
        let text = |item| written_title(data, item).map(&title).unwrap_or_default();
        let titles: Vec<String> = items.map(text).collect();
        let titles = self.tokenizer()?.encode_as_it_is(&titles)?;
        let known = self.here()?.n_tokens();
        match titles.iter().flatten().max().filter(|&&token| token as usize >= known) {
            Some(token) => {
                let expected = format!("one below {known}, which the model knows");
                Err(setting("a token of the tokenizer", token, expected))
            }
            None => Ok(titles),
        }
    }
}

/// What a model behind an endpoint answers.
fn ask(client: &Mutex<Client>, messages: &[Message]) -> Result<String> {
    let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(client.ask(messages)?.text)
}

/// The title of an item, if something is written there.
pub(crate) fn written_title(data: &Dataset, item: ItemId) -> Option<&str> {
    data.catalog.title(item).filter(|title| !title.trim().is_empty())
}

/// That a verbalizer cannot be used with an endpoint.
pub(crate) fn unfit_for_endpoints(found: &str) -> Error {
    let expected = "written-titles, since an endpoint tells no probabilities";
    setting("the verbalizer of a model behind an endpoint", found, expected).at("verbalizer")
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
    Some(setting(&whose, found, expected).at("prompt.template"))
}
