//! How well a model answers each of its tasks.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use tastemaker_core::splits::Part;
use tastemaker_core::{ItemId, SeedTree, UserId, artifact};
use tastemaker_eval::{generation, predictions};
use tastemaker_nn::transformer::{Frozen, Reading};

use super::questions::{Case, Reader, Teacher};
use super::tasks::Asked;
use super::written::read;
use crate::{Error, Result};

/// The file of what is found, in the run's folder.
const FILE: &str = "tasks.json";

/// Interactions that each task is asked about at most.
const MOST_CASES: usize = 500;

/// Questions that are answered together.
const QUESTIONS_A_PASS: usize = 64;

/// The most tokens of an answer that is written here; right ones are cut off there, too.
const LONGEST: usize = 64;

/// How well a task is answered about users' validation targets (the first of each).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Judged<'a> {
    family: &'a str,
    question: &'a str,
    /// Questions that were asked, each about another user.
    n: usize,
    /// The share of them that lost the oldest items of the history, or their end, for want of room.
    cut: f64,
    /// The share that is answered as the tokenizer writes what is right, writing the likeliest token
    /// each time.
    exact: f64,
    /// Where right answers are names of items: the share of answers that are no item's name. Nothing keeps
    /// the model from them here, as beam search does where it recommends.
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<f64>,
    /// Where right answers are numbers: the root of the mean squared and the mean absolute error over
    /// those that are answered by a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Numbers>,
    /// Where right answers are what people wrote: how near they are, and how varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Texts>,
}

/// Answers that are texts, by the functions of [`generation`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Texts {
    bleu: f64,
    #[serde(rename = "rouge-1")]
    rouge_1: f64,
    #[serde(rename = "rouge-2")]
    rouge_2: f64,
    rouge_l: f64,
    meteor: f64,
    chrf: f64,
    #[serde(rename = "distinct-2")]
    distinct_2: f64,
    unique_sentence_ratio: f64,
}

/// Errors of answers that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Numbers {
    rmse: Option<f64>,
    mae: Option<f64>,
    /// Answers that are no number.
    no_number: usize,
}

/// Asks every task about validation targets, and writes how well it is answered into `folder`.
pub(super) fn write(
    (model, begin): (&Frozen, u32),
    (teacher, reader): (&Teacher<'_>, &Reader),
    seeds: &SeedTree,
    folder: &Path,
) -> Result<()> {
    let judged =
        teacher.tasks.iter().map(|task| judge((model, begin), (teacher, reader), task, seeds));
    let judged = judged.collect::<Result<Vec<_>>>()?;
    let text = serde_json::to_string_pretty(&judged)
        .map_err(|error| Error::Serialise(error.to_string()))?;
    Ok(artifact::write_atomically(&folder.join(FILE), |out| writeln!(out, "{text}"))?)
}

fn judge<'t>(
    model: (&Frozen, u32),
    (teacher, reader): (&Teacher<'_>, &Reader),
    task: &'t Asked,
    seeds: &SeedTree,
) -> Result<Judged<'t>> {
    let (data, mut rng) = (teacher.data, seeds.rng());
    let place = |user: UserId| (user, teacher.split.cuts(user).validation.start as usize);
    let cases = teacher.split.iter_cases(data, Part::Validation).map(|case| place(case.user));
    let (mut asked, mut cut): (Vec<(Vec<u32>, String)>, usize) = (Vec::new(), 0);
    for at in cases {
        let Some(case) = teacher.case_at(task, at, &mut rng) else { continue };
        let question = reader.question(teacher.speech, &task.question, &case)?;
        cut += usize::from(question.left_out > 0 || question.ends_early);
        asked.push((question.tokens, right(reader, &teacher.speech.fill(&task.answer, &case)?)?));
        if asked.len() == MOST_CASES {
            break;
        }
    }
    let mut pairs = Vec::with_capacity(asked.len());
    for asked in asked.chunks(QUESTIONS_A_PASS) {
        let questions = asked.iter().map(|(question, _)| question.clone()).collect();
        let answers = answer(model, reader, questions)?;
        pairs.extend(answers.into_iter().zip(asked.iter().map(|(_, right)| right.trim())));
    }
    let n = pairs.len();
    let written = ["explanation", "review", "summary"].iter().any(|s| task.answer.speaks_of(s));
    let exact = pairs.iter().filter(|(answer, right)| answer.trim() == *right).count();
    Ok(Judged {
        family: &task.family,
        question: &task.source,
        n,
        cut: cut as f64 / n.max(1) as f64,
        exact: exact as f64 / n.max(1) as f64,
        invalid: invalid(&pairs, &names(teacher, reader, task)?),
        error: numbers(&pairs),
        text: written.then(|| texts(&pairs)),
    })
}

/// What is right, as the tokenizer writes it, which may know no capitals and no spaces.
fn right(reader: &Reader, text: &str) -> Result<String> {
    let mut tokens = reader.answer(text)?;
    tokens.pop();
    tokens.truncate(LONGEST);
    Ok(reader.tokenizer.decode(&tokens)?)
}

/// All names of items that can be right, where answers are nothing else.
fn names(teacher: &Teacher<'_>, reader: &Reader, task: &Asked) -> Result<HashSet<String>> {
    let others = ["user", "rating", "verdict", "review", "summary", "explanation"];
    if !task.answer.speaks_of("item") || others.iter().any(|slot| task.answer.speaks_of(slot)) {
        return Ok(HashSet::new());
    }
    let name = |item| {
        let case = Case { item: Some(item), ..Case::default() };
        let name = right(reader, &teacher.speech.fill(&task.answer, &case)?)?;
        Ok(name.trim().to_owned())
    };
    (0..).map(ItemId).take(teacher.data.n_items()).map(name).collect()
}

/// The share of answers that are none of `names`, if there are any.
fn invalid(pairs: &[(String, &str)], names: &HashSet<String>) -> Option<f64> {
    let invalid = pairs.iter().filter(|(answer, _)| !names.contains(answer.trim())).count();
    (!names.is_empty()).then(|| invalid as f64 / pairs.len().max(1) as f64)
}

fn texts(pairs: &[(String, &str)]) -> Texts {
    let both: Vec<generation::Pair<'_>> =
        pairs.iter().map(|(answer, right)| (&answer[..], *right)).collect();
    let own: Vec<&str> = both.iter().map(|(answer, _)| *answer).collect();
    Texts {
        bleu: generation::bleu(&both),
        rouge_1: generation::rouge_n(&both, 1),
        rouge_2: generation::rouge_n(&both, 2),
        rouge_l: generation::rouge_l(&both),
        meteor: generation::meteor(&both),
        chrf: generation::chrf(&both),
        distinct_2: generation::distinct(&own, 2),
        unique_sentence_ratio: generation::unique_sentence_ratio(&own),
    }
}

/// The errors where every right answer is a number.
fn numbers(pairs: &[(String, &str)]) -> Option<Numbers> {
    // Some tokenizers write 4. 5.
    let number = |text: &str| text.replace(' ', "").parse::<f64>().ok();
    let right: Vec<f64> = pairs.iter().map(|(_, right)| number(right)).collect::<Option<_>>()?;
    let answers = pairs.iter().map(|(answer, _)| number(answer));
    let both = answers.zip(&right).filter_map(|(answer, right)| Some((answer?, *right)));
    let both: Vec<predictions::Rating> = both.collect();
    let (rmse, mae) = (predictions::rmse(&both), predictions::mae(&both));
    (!right.is_empty()).then(|| Numbers { rmse, mae, no_number: right.len() - both.len() })
}

/// The likeliest tokens one after the other, up to what ends an answer.
fn answer(
    (model, begin): (&Frozen, u32),
    reader: &Reader,
    mut questions: Vec<Vec<u32>>,
) -> Result<Vec<String>> {
    let memory = read(model, begin, &mut questions)?;
    let mut written: Vec<Vec<u32>> = vec![vec![]; questions.len()];
    let mut going: Vec<usize> = (0..questions.len()).collect();
    let first = if memory.is_some() { vec![vec![begin]; questions.len()] } else { questions };
    let (mut reading, mut hidden) = Reading::new(model, first, memory)?;
    let n_tokens = begin as usize;
    for left in (0..LONGEST.min(reader.most.1)).rev() {
        let scores = model.scores(&hidden, n_tokens);
        let mut steps = Vec::with_capacity(going.len());
        for (at, scores) in scores.chunks_exact(n_tokens).enumerate() {
            let best = (0..).zip(scores).max_by(|a: &(u32, _), b| a.1.total_cmp(b.1));
            let token = best.map(|(token, _)| token).filter(|&token| token != reader.end);
            steps.extend(token.map(|token| (at, token)));
        }
        going = steps.iter().map(|&(at, _)| going[at]).collect();
        for (&i, &(_, token)) in going.iter().zip(&steps) {
            written[i].push(token);
        }
        if left > 0 {
            hidden = reading.go_on(&steps)?;
        }
    }
    written.iter().map(|tokens| Ok(reader.tokenizer.decode(tokens)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_no_name_are_counted_where_there_are_names() {
        let pairs = [("a ", "a"), ("ab", "b"), ("b", "a"), ("", "a")];
        let pairs = pairs.map(|(answer, right)| (answer.to_owned(), right));
        let names = ["a", "b"].map(str::to_owned).into();
        assert_eq!(invalid(&pairs, &names), Some(0.5));
        assert_eq!(invalid(&pairs, &HashSet::new()), None);
    }
}
