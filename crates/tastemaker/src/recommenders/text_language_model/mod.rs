//! A pre-trained language model over text that is told of a user.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tastemaker_core::recommender::RankOptions;
use tastemaker_core::{ItemId, RankedList, RecQuery, Recommender, artifact};
use tastemaker_endpoint::{Client, Endpoint};
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::{CausalModel, T5, TextModel, TextTokenizer};

use super::{FitContext, FitRecommender, Given, failed};
use crate::error::setting;
use crate::memorisation::{MemorisationProbe, Memorised, Who};
use crate::prompts::{Chat, Prompter, Prompting, Shown, Told, usual_model};
use crate::text::is_there;
use crate::train::{unexchangeable, unknown_attribute};
use crate::verbalizers::{
    AnyVerbalizer, ConstrainedTitles, Likelihood, Model, Named, Reader, Verbalize,
    unfit_for_endpoints, unfitting,
};
use crate::{Error, Result};

mod teaching;
mod tuning;

use self::teaching::Teaching;
pub use self::tuning::Tuning;

/// A pre-trained language model over text that is told of a user, and what is read out of it.
///
/// # What it does
/// Fills the template with the last items of the history, and with fewer of them, the oldest left
/// out first, where the prompt would be longer than the model reads; reads it; and takes items out
/// of what the model would say by the verbalizer. Without `tuning` nothing learns: prompt-free
/// tuning (tuning-free prompting), as `LLMRank`'s and Chat-REC's zero-shot rankers.
///
/// # When not to use it
/// Where titles say little, and on public data without asking whether the model knows it by heart.
///
/// # References
/// Hou et al. 2024, `LLMRank`; Liu et al. 2023, *Pre-train, prompt and recommendation*; each
/// verbalizer has its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextLanguageModel {
    /// A GGUF file, or a folder as `transformers` leaves it: a causal language model, or a T5.
    pub model: PathBuf,
    /// Asks a model behind an OpenAI-compatible endpoint instead. What it answers is kept in the
    /// study's folder `pretrained/`, and is not asked for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// What the factors of the model's products are rounded to; not those of few rows with weights
    /// that a GGUF file keeps in few bits, as when the model writes.
    pub precision: Precision,
    /// What the model is told.
    pub prompt: Prompting,
    /// How items are read out of it.
    pub verbalizer: AnyVerbalizer,
    /// How it learns to recommend; absent where nothing learns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
}

impl Default for TextLanguageModel {
    fn default() -> Self {
        Self {
            model: usual_model(),
            endpoint: None,
            precision: Precision::F32,
            prompt: Prompting::default(),
            verbalizer: AnyVerbalizer::Likelihood(Likelihood::default()),
            tuning: None,
        }
    }
}

const NAME: &str = "text-language-model";

/// The most tokens of an explanation.
const EXPLANATION: usize = 96;

struct Fitted {
    reader: Reader,
    verbalizer: Box<dyn Verbalize>,
    needs_candidates: bool,
}

impl TextLanguageModel {
    fn prompter(&self, context: &FitContext<'_>) -> Result<Prompter> {
        let model = self.endpoint.is_none().then_some(&*self.model);
        let about = (context.data, context.split, &context.seeds);
        let prompter = Prompter::new(&self.prompt, model, about)?;
        Ok(match &self.tuning {
            Some(tuning) => prompter.leaving(tuning.soft_prompt()?),
            None => prompter,
        })
    }

    /// Why `n` soft tokens of the template are not those that learn, if they are not.
    fn untaught(&self, n: usize) -> Option<Error> {
        let within = self.tuning.as_ref().and_then(Tuning::soft_within);
        match (n, within) {
            (0, Some(_)) => {
                let expected =
                    "one that says where, for example {{ soft('P', 4) }}, for vectors within";
                Some(setting("template", "without soft tokens", expected).at("prompt"))
            }
            (n, Some(found)) if n != found => {
                let expected =
                    format!("{n} for place \"within\", as many soft tokens as the template has");
                Some(setting("tokens", found, expected).at("tuning.paradigm"))
            }
            (1.., None) => {
                let (found, example) =
                    (format!("with {n} soft tokens"), "{ place = \"within\", tokens = … }");
                let expected = match self.endpoint {
                    Some(_) => "none, which an endpoint cannot be told".to_owned(),
                    None => format!("none, or tuning by a paradigm with soft-prompt = {example}"),
                };
                Some(setting("template", found, expected).at("prompt"))
            }
            _ => None,
        }
    }

    fn reader(&self, context: &FitContext<'_>) -> Result<Reader> {
        let prompter = self.prompter(context)?;
        Ok(Reader { model: self.open(context, &prompter)?, prompter })
    }

    fn open(&self, context: &FitContext<'_>, prompter: &Prompter) -> Result<Model> {
        let Some(endpoint) = &self.endpoint else {
            let verbalizer = self.verbalizer.as_dyn();
            let model = match &self.tuning {
                None => TextModel::read(&self.model, self.precision)?,
                Some(tuning) => {
                    Teaching { settings: self, tuning, prompter, verbalizer, context }.run()?.into()
                }
            };
            return Ok(Model::Here(model));
        };
        let of = artifact::sha256(format!("{} {}", endpoint.url, endpoint.model).as_bytes());
        let record =
            context.pretrained.map(|folder| folder.join(format!("answers-{}.jsonl", &of[..16])));
        context.others.client(context.checkpoints, endpoint, record.as_deref()).map(Model::There)
    }
}

impl FitRecommender for TextLanguageModel {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        if context.data.catalog.title_attribute().is_none() {
            return Err(without_titles());
        }
        let reader = self.reader(context)?;
        let verbalizer = self.verbalizer.as_dyn();
        let needs_candidates = verbalizer.needs_candidates();
        let verbalizer = verbalizer.prepare(&reader)?;
        Ok(Box::new(Fitted { reader, verbalizer, needs_candidates }))
    }

    fn restore(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        if let Some(folder) = context.checkpoints.filter(|_| self.tuning.is_some()) {
            teaching::is_there(folder)?;
        }
        self.fit(context)
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<Error> {
        let titles = given.data.catalog.title_attribute().is_none().then(without_titles);
        let model = match &self.endpoint {
            Some(endpoint) => {
                let client = Client::new(endpoint, None).err();
                client.map(|error| Error::from(error).at("endpoint"))
            }
            None => {
                let look = |()| {
                    TextModel::look_at(&self.model)?;
                    Ok(TextTokenizer::of_model(&self.model, usize::MAX)?)
                };
                is_there(&self.model).and_then(look).err().map(|error| error.at("model"))
            }
        };
        let wants = self.prompt.chat && self.endpoint.is_none() && model.is_none();
        let chat = wants.then(|| Chat::of_model(&self.model).err()).flatten();
        let chat = chat.map(|error| error.at("prompt"));
        let tuning = match &self.tuning {
            Some(_) if T5::is_at(&self.model) && self.endpoint.is_none() => {
                let expected = "a causal language model beside tuning";
                vec![setting("model", "a T5, which does not learn here", expected).at("model")]
            }
            Some(tuning) if model.is_none() => match CausalModel::shape_at(&self.model) {
                Ok(shape) => tuning.unsuitable(shape),
                Err(error) => vec![Error::from(error).at("model")],
            },
            _ => vec![],
        };
        let ends = match &self.verbalizer {
            AnyVerbalizer::ConstrainedTitles(titles)
                if titles.after_title != ConstrainedTitles::default().after_title
                    && self.endpoint.is_none()
                    && T5::is_at(&self.model) =>
            {
                let expected = "nothing, since a T5 ends titles by its own token";
                let found = format!("{:?}", titles.after_title);
                Some(setting("after-title", found, expected).at("verbalizer"))
            }
            _ => None,
        };
        let exchanged = self.tuning.iter().filter_map(|tuning| {
            let all = given.data.people.attributes().iter();
            let known: Vec<&str> = all.map(|known| &known.attribute.name[..]).collect();
            let names = &tuning.counterfactual;
            let unknown = unknown_attribute(names, &known, ("users", "values"));
            let why = unknown.or_else(|| unexchangeable(names, given.data))?;
            Some(unsuitable(&format!("counterfactual: {why}")).at("tuning.counterfactual"))
        });
        let all = titles.into_iter().chain(model).chain(chat).chain(ends).chain(exchanged);
        all.chain(tuning).collect()
    }

    fn problems(&self) -> Vec<Error> {
        let there = self.endpoint.is_some();
        let prompt = self.prompt.problems(there).into_iter().map(|problem| problem.at("prompt"));
        let endpoint = self.endpoint.as_ref().and_then(Endpoint::problem);
        let endpoint = endpoint.map(|problem| Error::from(problem).at("endpoint"));
        let unfit = there && self.verbalizer.as_dyn().needs_probabilities();
        let unfit = unfit.then(|| unfit_for_endpoints(self.verbalizer.name()));
        let verbalizer = self.verbalizer.as_dyn().problem();
        let verbalizer = verbalizer.map(|problem| problem.at("verbalizer"));
        let unfitting = unfitting(&self.prompt, &self.verbalizer);
        let beside = || setting("tuning", "set", "nothing beside an endpoint");
        let calibrated = matches!(&self.verbalizer, AnyVerbalizer::Likelihood(l) if l.calibrated);
        let again = (calibrated && self.tuning.is_some()).then(|| {
            let expected = "false beside tuning: what titles have learnt would be taken away again";
            setting("calibrated", true, expected).at("verbalizer.likelihood.calibrated")
        });
        let tuning = self.tuning.iter().flat_map(|tuning| {
            let own = tuning.problems().into_iter().map(|problem| problem.at("tuning"));
            if there { vec![beside()] } else { own.collect() }
        });
        let exchanged = self.tuning.as_ref().filter(|tuning| !tuning.counterfactual.is_empty());
        let untold = exchanged.filter(|_| !self.prompt.speaks_of("user")).map(|tuning| {
            let expected = "none, since the template speaks of no user";
            setting("counterfactual", tuning.counterfactual.join(", "), expected)
                .at("tuning.counterfactual")
        });
        let soft = self.prompt.n_soft().and_then(|n| self.untaught(n));
        let tuning: Vec<Error> = tuning.chain(untold).chain(soft).collect();
        let others = prompt.chain(endpoint).chain(unfit).chain(verbalizer).chain(unfitting);
        others.chain(tuning).chain(again).collect()
    }

    fn needs_candidates(&self) -> bool {
        self.verbalizer.as_dyn().needs_candidates()
    }

    fn prompt(&self, context: &FitContext<'_>, query: &RecQuery<'_>) -> Result<Option<Shown>> {
        let told = Told::of(query);
        // Without candidates, any item shows what is asked.
        let item = told.candidates.first().copied().or(Some(ItemId(0)));
        let item = item.filter(|_| self.verbalizer.as_dyn().asks_about_items());
        let told = Told { item, ..told };
        self.prompter(context)?.prompt(&told, 0).map(Some)
    }

    fn memorised(
        &self,
        context: &FitContext<'_>,
        probe: &MemorisationProbe,
    ) -> Result<Option<Memorised>> {
        let (reader, seeds) = (self.reader(context)?, context.seeds.child("memorisation"));
        probe.run(Who::Writes(&reader), reader.prompter.data(), &seeds).map(Some)
    }

    /// As the template `explanation` asks for it, in a conversation where the model has learnt to hold one.
    fn explain(
        &self,
        context: &FitContext<'_>,
        asked: &[(RecQuery<'_>, ItemId)],
    ) -> Result<Option<Vec<String>>> {
        let Reader { model, .. } = self.reader(context)?;
        let chat = self.endpoint.is_none() && Chat::of_model(&self.model).is_ok();
        let template = "explanation".to_owned();
        let prompt =
            Prompting { template, chat, examples: 0, most_tokens: 0, ..self.prompt.clone() };
        let prompter = Self { prompt, ..self.clone() }.prompter(context)?;
        let reader = Reader { model, prompter };
        let texts = asked.iter().map(|(query, item)| {
            let told = Told { item: Some(*item), candidates: &[], ..Told::of(query) };
            reader.write(&told, EXPLANATION)
        });
        texts.collect::<Result<Vec<String>>>().map(Some)
    }
}

fn without_titles() -> Error {
    unsuitable("the items have no titles")
}

fn unsuitable(reason: &str) -> Error {
    let reason = reason.to_owned();
    tastemaker_core::Error::Unsuitable { recommender: NAME, reason }.into()
}

impl Fitted {
    fn rank(&self, query: &RecQuery<'_>, options: &RankOptions<'_>) -> Result<RankedList> {
        if self.needs_candidates && query.candidates.is_none() {
            let reason = "it reads every candidate, so it ranks among sampled items alone";
            return Err(unsuitable(reason));
        }
        let Named { items, named, invalid } =
            self.verbalizer.scores(&self.reader, query, options)?;
        Ok(RankedList { named, invalid, ..options.ties.top_n(items.into_iter(), options.n) })
    }
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        queries.iter().map(|query| self.rank(query, options).map_err(failed(NAME))).collect()
    }
}
