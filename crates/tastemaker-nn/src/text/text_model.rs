//! Language models that write.

use std::path::Path;

use super::folder::WeightFiles;
use super::{CausalModel, T5};
use crate::fused::Precision;
use crate::{Error, Result};

/// A pre-trained language model over text that is told something and goes on or answers.
#[derive(Debug)]
pub enum TextModel {
    /// One that goes on with what it is told.
    Causal(Box<CausalModel>),
    /// One that reads what it is told and then writes.
    T5(Box<T5>),
}

impl From<CausalModel> for TextModel {
    fn from(model: CausalModel) -> Self {
        Self::Causal(Box::new(model))
    }
}

impl TextModel {
    /// Reads the GGUF file or the folder at `path`, with the errors of and as [`CausalModel::read`] or [`T5::read`].
    pub fn read(path: &Path, precision: Precision) -> Result<Self> {
        Ok(if T5::is_at(path) {
            Self::T5(Box::new(T5::read(path, precision)?))
        } else {
            Self::Causal(Box::new(CausalModel::read(path, precision)?))
        })
    }

    /// The most tokens that the model at `path` reads, without reading its weights.
    ///
    /// # Errors
    /// If what is there does not say what it is.
    pub fn longest_at(path: &Path) -> Result<usize> {
        if T5::is_at(path) { T5::longest_at(path) } else { CausalModel::longest_at(path) }
    }

    /// Looks at the model at `path` without reading its weights: what it says it is, and whether its weights
    /// are there.
    pub fn look_at(path: &Path) -> Result<()> {
        Self::longest_at(path)?;
        if path.is_dir() { WeightFiles::of(path)?.are_there() } else { Ok(()) }
    }

    /// How many tokens it knows.
    pub fn n_tokens(&self) -> usize {
        match self {
            Self::Causal(model) => model.n_tokens(),
            Self::T5(model) => model.n_tokens(),
        }
    }

    /// The logarithm of the probability of each token of answers, by softmax over all tokens; each is
    /// the answer to the prompt of the given number. A causal model reads what prompts have in common once.
    ///
    /// # Errors
    /// If a prompt is empty or too long, or if there is a token that the model does not know.
    ///
    /// # Panics
    /// If there is no prompt of such a number.
    pub fn log_probabilities(
        &self,
        prompts: &[Vec<u32>],
        answers: &[(usize, &[u32])],
    ) -> Result<Vec<Vec<f32>>> {
        let model = match self {
            Self::T5(model) => return model.log_probabilities(prompts, answers),
            Self::Causal(model) => model,
        };
        let [first, others @ ..] = prompts else { return Ok(vec![vec![]; answers.len()]) };
        if others.is_empty() {
            let answers: Vec<&[u32]> = answers.iter().map(|(_, answer)| *answer).collect();
            return model.log_probabilities(first, &answers);
        }
        if let Some(empty) = prompts.iter().position(Vec::is_empty) {
            return Err(Error::setting(
                "a prompt",
                format!("empty ({empty})"),
                "one token at least",
            ));
        }
        let common = common(prompts);
        let rests: Vec<&[u32]> = prompts.iter().map(|prompt| &prompt[common..]).collect();
        model.log_probabilities_of_answers(&first[..common], &rests, answers)
    }

    /// The tokens that the model writes after `prompt`, the most likely one each time, until one of
    /// `stop`, what ends its answers, or `most` tokens; without the one that stops.
    ///
    /// # Errors
    /// As [`TextModel::log_probabilities`].
    pub fn generate(&self, prompt: &[u32], most: usize, stop: &[u32]) -> Result<Vec<u32>> {
        match self {
            Self::Causal(model) => model.generate(prompt, most, stop),
            Self::T5(model) => model.generate(prompt, most, stop),
        }
    }
}

/// The tokens with which all prompts begin, but for the last of the shortest one: something must be
/// read of each.
fn common(prompts: &[Vec<u32>]) -> usize {
    let Some((first, others)) = prompts.split_first() else { return 0 };
    let with = |other: &Vec<u32>| first.iter().zip(other).take_while(|(a, b)| a == b).count();
    let shortest = prompts.iter().map(Vec::len).min().unwrap_or_default();
    others.iter().map(with).min().unwrap_or(first.len()).min(shortest.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prompts_have_in_common_leaves_something_of_each() {
        let of =
            |prompts: &[&[u32]]| common(&prompts.iter().map(|p| p.to_vec()).collect::<Vec<_>>());
        assert_eq!(of(&[&[1, 2, 3, 4], &[1, 2, 5]]), 2);
        assert_eq!(of(&[&[1, 2, 3], &[1, 2, 3]]), 2);
        assert_eq!(of(&[&[1, 2, 3], &[1, 2]]), 1);
        assert_eq!(of(&[&[1, 2, 3]]), 2);
        assert_eq!((of(&[&[1, 2], &[3, 2]]), of(&[&[1], &[1, 2]])), (0, 0));
    }
}
