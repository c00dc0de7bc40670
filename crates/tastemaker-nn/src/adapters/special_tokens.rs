//! Named tokens before or after every sequence.

use std::collections::BTreeSet;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Adapter, Added, Own, Place, check_prompt};
use crate::backbones::Shape;
use crate::parameters::{Group, Init};
use crate::{Error, Result};

/// Named tokens before or after every sequence: the hard prompt of a model over items, which has no
/// words. Their vectors follow from their names and the seed and never learn, so what they mean is for
/// the model to learn.
///
/// # References
/// The fixed prompt of "fixed-prompt tuning" in Liu et al. 2023, *Pre-train, prompt and
/// recommendation*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SpecialTokens {
    /// The tokens, in their order.
    pub tokens: Vec<String>,
    /// Where they stand: `before` or `after`.
    #[serde(skip_serializing_if = "Place::is_before")]
    pub place: Place,
}

impl Default for SpecialTokens {
    fn default() -> Self {
        Self { tokens: vec!["next-item".to_owned()], place: Place::Before }
    }
}

impl Adapter for SpecialTokens {
    fn group(&self) -> Group {
        Group::Prompt
    }

    fn check(&self, shape: Shape) -> Result<()> {
        if self.place == Place::Within {
            let expected = "before or after: a template says what stands within";
            return Err(Error::setting("place", "within", expected));
        }
        let distinct: BTreeSet<&String> = self.tokens.iter().collect();
        if self.tokens.is_empty() || distinct.len() < self.tokens.len() {
            let found = format!("{:?}", self.tokens);
            return Err(Error::setting("tokens", found, "one name or more, all different"));
        }
        let word = |name: &&String| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty()
        };
        match self.tokens.iter().find(|name| !word(name)) {
            Some(name) => Err(Error::setting(
                "tokens",
                format!("{name:?}"),
                "names of letters, digits and hyphens",
            )),
            None => check_prompt(shape, self.tokens.len()),
        }
    }

    fn parameters(&self, shape: Shape, _values: usize) -> Vec<Added> {
        let vector =
            |name: &String| (name.clone(), vec![1, shape.embedding_size], Init::Normal(0.02));
        self.tokens.iter().map(vector).collect()
    }

    fn prompt_length(&self) -> usize {
        self.tokens.len()
    }

    fn place(&self) -> Place {
        self.place
    }

    fn prompt(&self, own: Own<'_>, layer: usize) -> Result<Option<Tensor>> {
        if layer > 0 {
            return Ok(None);
        }
        let vectors: Vec<&Tensor> = self.tokens.iter().map(|name| own.get(name)).collect();
        Ok(Some(Tensor::cat(&vectors, 0)?))
    }
}
