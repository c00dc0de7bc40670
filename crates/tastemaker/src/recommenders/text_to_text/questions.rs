//! Questions about interactions.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;
use minijinja::context;
use minijinja::value::Value;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, SeedTree, UserId};
use tastemaker_nn::text::TextTokenizer;
use tastemaker_nn::transformer::Sides;

use super::tasks::Asked;
use crate::objectives::{Objective, next_item};
use crate::prompts::{Template, of_item, of_user};
use crate::train::{self, BatchBuilder, Facts, Window};
use crate::{Error, Result};

/// What ends an answer.
pub(super) const END: &str = "</s>";

/// How items and users are spoken of.
#[derive(Debug)]
pub(super) struct Speech {
    items: Vec<Value>,
    users: Vec<Value>,
}

/// What a question is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Case<'a> {
    pub(super) user: Option<UserId>,
    pub(super) history: &'a [ItemId],
    pub(super) candidates: Vec<ItemId>,
    pub(super) item: Option<ItemId>,
    pub(super) verdict: Option<bool>,
    pub(super) rating: Option<f32>,
    pub(super) review: Option<&'a str>,
    pub(super) summary: Option<&'a str>,
}

impl Speech {
    /// Where items are called by `names`, and users by numbers in a random order.
    pub(super) fn new(data: &Dataset, names: &[String], seeds: &SeedTree) -> Self {
        let item =
            |(item, name): (u32, &String)| of_item(&data.catalog, ItemId(item), (Some(name), None));
        let users = numbers("user", data.n_users(), &seeds.child("users"));
        let user = |(user, name): (u32, &String)| of_user(data, UserId(user), Some(name));
        Self {
            items: (0..).zip(names).map(item).collect(),
            users: (0..).zip(&users).map(user).collect(),
        }
    }

    /// What `template` says of this.
    pub(super) fn fill(&self, template: &Template, case: &Case<'_>) -> Result<String> {
        let items = |items: &[ItemId]| -> Vec<Value> {
            items.iter().map(|item| self.items[item.index()].clone()).collect()
        };
        template.fill(context! {
            history => items(case.history),
            candidates => items(&case.candidates),
            item => case.item.map(|item| self.items[item.index()].clone()),
            user => case.user.map(|user| self.users[user.index()].clone()),
            verdict => case.verdict.map(|right| if right { "yes" } else { "no" }),
            // Five stars are 5 and not 5.0.
            rating => case.rating.map(|rating| rating.to_string()),
            review => case.review,
            summary => case.summary,
            explanation => case.review.map(first_sentence),
        })
    }
}

/// Names by numbers, in a random order: consecutive numbers along the users' sequences would tell what
/// comes next.
pub(super) fn numbers(what: &str, n: usize, seeds: &SeedTree) -> Vec<String> {
    let mut numbers: Vec<usize> = (1..=n).collect();
    numbers.shuffle(&mut seeds.rng());
    numbers.into_iter().map(|number| format!("{what}_{number}")).collect()
}

/// Up to the first full stop, exclamation or question mark before a space, or the end of the line.
fn first_sentence(text: &str) -> &str {
    let text = text.trim_start();
    let line = text.lines().next().unwrap_or_default();
    let ends = |(at, c): &(usize, char)| {
        ".!?".contains(*c) && line[at + c.len_utf8()..].starts_with(char::is_whitespace)
    };
    line.char_indices().find(ends).map_or(line, |(at, c)| &line[..at + c.len_utf8()])
}

/// Makes questions about the interactions of the training part.
pub(super) struct Teacher<'a> {
    pub(super) data: &'a Dataset,
    pub(super) split: &'a SplitSets,
    pub(super) speech: &'a Speech,
    pub(super) tasks: &'a [Asked],
    /// Items before the one that is asked about which are told.
    pub(super) last_items: usize,
    /// Items that a question names, where it names candidates.
    pub(super) candidates: usize,
}

impl<'a> Teacher<'a> {
    /// An interaction of a window as `task` asks about it.
    fn case(&self, task: &Asked, window: &Window<'_>, rng: &mut ChaCha8Rng) -> Option<Case<'a>> {
        let place = window.first + rng.random_range(0..window.items.len());
        self.case_at(task, (window.user, place), rng)
    }

    /// The interaction of a user at `place` as `task` asks about it; nothing where it does not know
    /// what the task speaks of. Later ones than the training part and this are not looked at.
    pub(super) fn case_at(
        &self,
        task: &Asked,
        (user, place): (UserId, usize),
        rng: &mut ChaCha8Rng,
    ) -> Option<Case<'a>> {
        let interactions = &self.data.interactions;
        let n = self.split.train(self.data, user).len().max(place + 1);
        let met = &interactions.sequence(user)[..n];
        let history = &met[place.saturating_sub(self.last_items)..place];
        if task.speaks_of("history") && history.is_empty() {
            return None;
        }
        let mut case =
            Case { user: Some(user), history, item: Some(met[place]), ..Case::default() };
        let row = interactions.range(user).start + place;
        let about = |slot: &str| interactions.text(slot, row);
        case.rating = interactions.all_values().map(|values| values[row]);
        (case.review, case.summary) = (about("review"), about("summary"));
        let no_review = case.review.is_none();
        if (no_review && (task.speaks_of("review") || task.speaks_of("explanation")))
            || (case.summary.is_none() && task.speaks_of("summary"))
        {
            return None;
        }
        if task.speaks_of("verdict") {
            let right = rng.random_bool(0.5);
            case.verdict = Some(right);
            if !right {
                case.item = Some(self.not_met(met, rng)?);
            }
        }
        if task.speaks_of("candidates") {
            case.candidates.extend(case.item);
            for _ in 1..self.candidates {
                let other = self.not_met(met, rng);
                case.candidates.extend(other.filter(|item| !case.candidates.contains(item)));
            }
            case.candidates.shuffle(rng);
        }
        Some(case)
    }

    /// An item that is none of those; nothing where most are.
    fn not_met(&self, met: &[ItemId], rng: &mut ChaCha8Rng) -> Option<ItemId> {
        let n = u32::try_from(self.data.n_items()).expect("items are numbered in 32 bits");
        (0..100).map(|_| ItemId(rng.random_range(0..n))).find(|item| !met.contains(item))
    }

    /// Questions about a window with their answers, as often as each task is asked.
    fn questions(
        &self,
        window: &Window<'_>,
        rng: &mut ChaCha8Rng,
    ) -> impl Iterator<Item = (&'a Asked, Case<'a>)> {
        let tasks = self.tasks.iter().flat_map(|task| std::iter::repeat_n(task, task.times));
        let cases = tasks.map(|task| (task, self.case(task, window, rng)));
        let cases: Vec<_> = cases.filter_map(|(task, case)| Some((task, case?))).collect();
        cases.into_iter()
    }

    /// What is said in questions about these windows and in their answers, up to `most` of each.
    pub(super) fn texts(
        &self,
        windows: &[Window<'_>],
        most: usize,
        seeds: &SeedTree,
    ) -> Result<Vec<String>> {
        let (mut texts, mut rng) = (Vec::new(), seeds.rng());
        for window in windows {
            for (task, case) in self.questions(window, &mut rng) {
                if texts.len() >= 2 * most {
                    return Ok(texts);
                }
                texts.push(self.speech.fill(&task.question, &case)?);
                texts.push(self.speech.fill(&task.answer, &case)?);
            }
        }
        Ok(texts)
    }
}

/// The tokens of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) text: String,
    pub(super) tokens: Vec<u32>,
    /// Items of the history that were left out, the oldest ones.
    pub(super) left_out: usize,
    /// Whether its end was cut off.
    pub(super) ends_early: bool,
}

/// Reads what is said.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) tokenizer: TextTokenizer,
    /// The token that ends an answer.
    pub(super) end: u32,
    /// The most tokens of a question, and of an answer with what ends it.
    pub(super) most: (usize, usize),
}

impl Reader {
    /// The tokens of a question. Where they are too many, the oldest items of the history are left
    /// out, one after the other, and then the end of the text.
    pub(super) fn question(
        &self,
        speech: &Speech,
        asked: &Template,
        case: &Case<'_>,
    ) -> Result<Read> {
        let most = self.most.0;
        let tells = asked.speaks_of("history");
        for left_out in 0..=if tells { case.history.len() } else { 0 } {
            let case = Case { history: &case.history[left_out..], ..case.clone() };
            let text = speech.fill(asked, &case)?;
            let mut tokens = self.tokenizer.encode_as_it_is(&[&text])?.concat();
            if tokens.len() <= most || case.history.is_empty() || !tells {
                let ends_early = tokens.len() > most;
                tokens.truncate(most);
                return Ok(Read { text, tokens, left_out, ends_early });
            }
        }
        unreachable!("the last has no history")
    }

    /// The tokens of an answer, with what ends it.
    pub(super) fn answer(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = self.tokenizer.encode_as_it_is(&[text])?.concat();
        tokens.truncate(self.most.1 - 1);
        tokens.push(self.end);
        Ok(tokens)
    }
}

/// The tokens of an answer, each from the question and those before it.
pub(super) struct Answers<'a> {
    pub(super) teacher: &'a Teacher<'a>,
    pub(super) reader: &'a Reader,
    /// The first question that could not be asked.
    pub(super) failed: Mutex<Option<Error>>,
}

impl Answers<'_> {
    fn failed(&self) -> MutexGuard<'_, Option<Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        task: &Asked,
        case: &Case<'_>,
        batch: &mut BatchBuilder,
        encodes: bool,
    ) -> Result<()> {
        let speech = self.teacher.speech;
        let question = self.reader.question(speech, &task.question, case)?.tokens;
        let answer = self.reader.answer(&speech.fill(&task.answer, case)?)?;
        let (Some((&last, before)), [read @ .., _]) = (question.split_last(), &answer[..]) else {
            return Ok(());
        };
        let asked = answer.iter().copied().map(ItemId).enumerate();
        if encodes {
            batch.push_encoded(question.iter().copied());
            let begins = std::iter::once(batch.mask());
            batch.push(begins.chain(read.iter().copied()), asked);
        } else {
            let tokens = before.iter().chain([&last]).chain(read).copied();
            batch.push(tokens, asked.map(|(place, token)| (before.len() + place, token)));
        }
        Ok(())
    }
}

impl Objective for Answers<'_> {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn is_of_one_user(&self) -> bool {
        true
    }

    fn suits_encoder_decoder(&self) -> bool {
        true
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        Ok(())
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        for (task, case) in self.teacher.questions(window, rng) {
            if let Err(error) = self.add(task, &case, batch, facts.has_encoder) {
                self.failed().get_or_insert(error);
            }
        }
    }

    fn loss(&self, asked: &train::Asked<'_>, _rng: &mut ChaCha8Rng) -> Result<Tensor> {
        if let Some(error) = self.failed().take() {
            return Err(error);
        }
        next_item::softmax(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_ends_with_its_mark() {
        for (text, expected) in [
            ("It was 5.5 inches. And fine.", "It was 5.5 inches."),
            (" Good!\nVery good.", "Good!"),
            ("no mark", "no mark"),
            ("", ""),
        ] {
            assert_eq!(first_sentence(text), expected);
        }
    }

    #[test]
    fn numbers_are_each_once_and_in_another_order() {
        let names = numbers("item", 50, &SeedTree::new(1));
        let mut sorted = names.clone();
        sorted.sort_by_key(|name| name[5..].parse::<usize>().unwrap());
        assert_ne!(names, sorted);
        assert_eq!((&sorted[0][..], &sorted[49][..]), ("item_1", "item_50"));
    }
}
