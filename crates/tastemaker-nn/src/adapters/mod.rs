//! Weights that are added to a backbone, apart from its own.
//!
//! A fresh adapter changes nothing or little: it is as if it were not there until it has learnt.

use candle_core::Tensor;
use tastemaker_core::{SeedTree, registry};

use crate::backbones::Shape;
use crate::fused::Precision;
use crate::parameters::{Group, Init, Parameters};
use crate::{Error, Result};

mod bottleneck;
mod inserted;
mod lora;
mod personal_prompt;
mod place;
mod prefix;
mod projection;
mod soft_prompt;
mod special_tokens;
mod vectors;

pub use bottleneck::Bottleneck;
pub(crate) use inserted::{Inserted, Prompted};
pub use lora::{Lora, Target};
pub use personal_prompt::PersonalPrompt;
pub use place::Place;
pub use prefix::Prefix;
pub use projection::Projection;
pub use soft_prompt::{SOFT, SoftPrompt};
pub use special_tokens::SpecialTokens;

/// A parameter of an adapter: its name after the adapter's own, its dimensions, how it begins.
pub type Added = (String, Vec<usize>, Init);

/// What adapters a model can have.
pub const ONE_OF_EACH: &str =
    "one of each kind, and of soft-prompt and special-tokens one in each place";

/// What a backbone is given beside its own weights.
pub trait Adapter {
    /// What its parameters are to a paradigm: an adapter, a prompt or a head.
    fn group(&self) -> Group;

    /// Whether it fits a backbone of this shape.
    fn check(&self, shape: Shape) -> Result<()>;

    /// The parameters it adds to a backbone of this shape, whose sequences have profiles of so many
    /// values.
    fn parameters(&self, shape: Shape, values: usize) -> Vec<Added>;

    /// Whether it adds something to the weight called `weight` of every block.
    fn changes(&self, _weight: &str) -> bool {
        false
    }

    /// Whether all it does is to add to weights.
    fn is_mergeable(&self) -> bool {
        false
    }

    /// What it adds to a weight of the block of this name, as large as the weight.
    fn change(&self, _own: Own<'_>, _block: &str, _weight: &str) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// How many vectors it puts before or after every sequence.
    fn prompt_length(&self) -> usize {
        0
    }

    /// Where it puts them.
    fn place(&self) -> Place {
        Place::Before
    }

    /// The vectors [prompt length, width] that stand there where block `layer` begins, or
    /// [sequences · prompt length, width] if each sequence has its own; what the block before made
    /// of them, if it gives none.
    fn prompt(&self, _own: Own<'_>, _layer: usize) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What it makes of the states [tokens, width] after the block of this name.
    fn after_block(&self, _own: Own<'_>, _block: &str, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What it makes of the states [tokens, width] after the last norm.
    fn after_norm(&self, _own: Own<'_>, _x: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// An adapter's own parameters, and how they are multiplied.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    parameters: &'a Parameters,
    prefix: &'a str,
    precision: Precision,
    /// What is known of each sequence; empty where nothing is known of any.
    profiles: &'a [Vec<u32>],
}

impl<'a> Own<'a> {
    /// The parameter `name` of [`Adapter::parameters`].
    fn get(&self, name: &str) -> &'a Tensor {
        self.parameters.get(&format!("{}.{name}", self.prefix))
    }
}

registry! {
    /// Every adapter a study can name.
    pub enum AnyAdapter: Adapter {
        /// A small network after each block, beside the residual stream (Houlsby, Pfeiffer).
        "bottleneck" => Bottleneck(Bottleneck),
        /// Low-rank changes of the blocks' matrices (LoRA); merged, they cost nothing.
        "lora" => Lora(Lora),
        /// Vectors before every sequence, made from what is known of its user (PPR).
        "personal-prompt" => PersonalPrompt(PersonalPrompt),
        /// Vectors before every sequence, anew at every block (prefix-tuning, P-tuning v2).
        "prefix" => Prefix(Prefix),
        /// A new head: a small network between the backbone and the scores.
        "projection" => Projection(Projection),
        /// Vectors before or after every sequence (prompt tuning).
        "soft-prompt" => SoftPrompt(SoftPrompt),
        /// Named tokens before or after every sequence, whose vectors are drawn and never learn.
        "special-tokens" => SpecialTokens(SpecialTokens),
    }
}

impl AnyAdapter {
    /// What the names of its parameters begin with. A model has one of each.
    pub fn prefix(&self) -> String {
        let place = self.as_dyn().place().suffix();
        format!("{}.{}{place}", self.as_dyn().group().name(), self.name())
    }

    /// Whether anything of it can learn.
    pub fn can_learn(&self) -> bool {
        can_learn(&self.prefix())
    }

    /// The names of the parameters it adds to a backbone of this shape.
    pub fn parameter_names(&self, shape: Shape) -> Vec<String> {
        let prefix = self.prefix();
        let added = self.as_dyn().parameters(shape, 1).into_iter();
        added.map(|(name, _, _)| format!("{prefix}.{name}")).collect()
    }

    /// Adds its parameters, which follow from `seeds` and their names, to a backbone of this shape
    /// and number of values.
    pub(crate) fn add(
        &self,
        (shape, values): (Shape, usize),
        parameters: &mut Parameters,
        seeds: &SeedTree,
    ) -> Result<()> {
        let prefix = self.prefix();
        for (name, dimensions, init) in self.as_dyn().parameters(shape, values) {
            parameters.add(&format!("{prefix}.{name}"), &dimensions, init, seeds)?;
        }
        Ok(())
    }
}

/// Whether the parameter `name`, or one whose name begins so, can learn: the vectors of named
/// tokens never do.
pub fn can_learn(name: &str) -> bool {
    !name.starts_with("prompt.special-tokens")
}

/// A prompt of `n` vectors is not longer than the sequences around which it stands can be.
fn check_prompt(shape: Shape, n: usize) -> Result<()> {
    if (1..=shape.max_length).contains(&n) {
        return Ok(());
    }
    let expected = format!("1 to {}, the backbone's max-length", shape.max_length);
    Err(Error::setting("the number of a prompt's tokens", n, expected))
}

/// A setting of an adapter is a number from 1 to `most`.
fn check_count(name: &str, found: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::setting(name, found, format!("a number from 1 to {most}")))
}
