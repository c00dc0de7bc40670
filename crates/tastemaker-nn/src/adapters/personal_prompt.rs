//! Vectors before every sequence, made from what is known of whom it is of.

use std::collections::BTreeSet;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::vectors::{DEVIATION, fan_in};
use super::{Adapter, Added, Own, check_count, check_prompt};
use crate::backbones::Shape;
use crate::fused::{Activation, Linear};
use crate::parameters::{Group, Init};
use crate::{Error, Result};

/// Vectors before every sequence that are made from a profile: what is known of whom the sequence
/// is of, as numbers of values.
///
/// # Formula
/// V = `W_out` tanh(`W_in` p + `b_in`) + B, with p = Σᵥ e(v) over the values of the profile, all
/// e(v) zero at first, and B as many vectors as the prompt has. So it begins as one soft prompt for
/// everybody; of an unknown profile p is 0, and a value that nobody had in training stays as if it
/// were unknown.
///
/// # When not to use it
/// What it makes depends on the attributes, and so do the recommendations: with sensitive ones
/// (age, gender) users are treated differently by them.
///
/// # References
/// Wu et al. 2022, *Personalized prompt for sequential recommendation* (PPR, arXiv 2205.09666),
/// whose generator makes a prompt from user profiles. Of it only the abstract was at hand: the
/// formula is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PersonalPrompt {
    /// The attributes of users that a profile is made of.
    pub attributes: Vec<String>,
    /// How many vectors.
    pub tokens: usize,
    /// Width of the network that makes them.
    pub inner_size: usize,
}

impl Default for PersonalPrompt {
    fn default() -> Self {
        Self { attributes: vec![], tokens: 4, inner_size: 32 }
    }
}

impl PersonalPrompt {
    /// Σᵥ e(v) of each profile: [profiles, width].
    fn sums(own: Own<'_>) -> Result<Tensor> {
        let table = own.get("values");
        let (n, width) = (own.profiles.len().max(1), table.dim(1)?);
        let values: Vec<u32> = own.profiles.concat();
        if values.is_empty() {
            // Nothing is known of any; the loss must reach the table all the same.
            return Ok((table.narrow(0, 0, 1)? * 0.0)?.repeat((n, 1))?);
        }
        let of = (0..).zip(own.profiles);
        let of: Vec<u32> = of.flat_map(|(i, profile)| vec![i; profile.len()]).collect();
        let ids = |ids: Vec<u32>| Tensor::from_vec(ids, values.len(), table.device());
        let (of, rows) = (ids(of)?, table.index_select(&ids(values.clone())?, 0)?);
        let nothing = Tensor::zeros((n, width), DType::F32, table.device())?;
        Ok(nothing.index_add(&of, &rows, 0)?)
    }
}

impl Adapter for PersonalPrompt {
    fn group(&self) -> Group {
        Group::Prompt
    }

    fn check(&self, shape: Shape) -> Result<()> {
        let distinct: BTreeSet<&String> = self.attributes.iter().collect();
        if self.attributes.is_empty() || distinct.len() < self.attributes.len() {
            let found = format!("{:?}", self.attributes);
            return Err(Error::setting(
                "attributes",
                found,
                "one of the users' or more, each once",
            ));
        }
        check_count("inner-size", self.inner_size, 65_536)?;
        check_prompt(shape, self.tokens)
    }

    fn parameters(&self, shape: Shape, values: usize) -> Vec<Added> {
        let named = |name: &str, dimensions, init| (name.to_owned(), dimensions, init);
        let (width, inner) = (shape.embedding_size, self.inner_size);
        let all = self.tokens * width;
        vec![
            named("values", vec![values, width], Init::Zeros),
            named("in.weight", vec![inner, width], fan_in(width)),
            named("in.bias", vec![inner], Init::Zeros),
            named("out.weight", vec![all, inner], fan_in(inner)),
            named("out.bias", vec![all], Init::Normal(DEVIATION)),
        ]
    }

    fn prompt_length(&self) -> usize {
        self.tokens
    }

    fn prompt(&self, own: Own<'_>, layer: usize) -> Result<Option<Tensor>> {
        if layer > 0 {
            return Ok(None);
        }
        let sums = Self::sums(own)?;
        let plain = Linear { activation: Activation::None, precision: own.precision };
        let hidden = plain.apply(&sums, own.get("in.weight"), own.get("in.bias"))?.tanh()?;
        let vectors = plain.apply(&hidden, own.get("out.weight"), own.get("out.bias"))?;
        let (n, width) = sums.dims2()?;
        Ok(Some(vectors.reshape((n * self.tokens, width))?))
    }
}
