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
mod prefix;
mod projection;
mod soft_prompt;
mod special_tokens;
mod vectors;

pub use bottleneck::Bottleneck;
pub(crate) use inserted::Inserted;
pub use lora::{Lora, Target};
pub use prefix::Prefix;
pub use projection::Projection;
pub use soft_prompt::SoftPrompt;
pub use special_tokens::SpecialTokens;

/// A parameter of an adapter: its name after the adapter's own, its dimensions, how it begins.
pub type Added = (String, Vec<usize>, Init);

/// What a backbone is given beside its own weights.
pub trait Adapter {
    /// What its parameters are to a paradigm: an adapter, a prompt or a head.
    fn group(&self) -> Group;

    /// Whether it fits a backbone of this shape.
    fn check(&self, shape: Shape) -> Result<()>;

    /// The parameters it adds to a backbone of this shape.
    fn parameters(&self, shape: Shape) -> Vec<Added>;

    /// Whether it adds something to the weight called `weight` of every block.
    fn changes(&self, _weight: &str) -> bool {
        false
    }

    /// Whether all it does is to add to weights.
    fn is_mergeable(&self) -> bool {
        false
    }

    /// What it adds to a weight of a block, as large as the weight.
    fn change(&self, _own: Own<'_>, _layer: usize, _weight: &str) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// How many vectors it puts before every sequence.
    fn prompt_length(&self) -> usize {
        0
    }

    /// The vectors [prompt length, width] that stand before every sequence where block `layer`
    /// begins; what the block before made of them, if it gives none.
    fn prompt(&self, _own: Own<'_>, _layer: usize) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What it makes of the states [tokens, width] after block `layer`.
    fn after_block(&self, _own: Own<'_>, _layer: usize, _x: &Tensor) -> Result<Option<Tensor>> {
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
        /// Vectors before every sequence, anew at every block (prefix-tuning, P-tuning v2).
        "prefix" => Prefix(Prefix),
        /// A new head: a small network between the backbone and the scores.
        "projection" => Projection(Projection),
        /// Vectors before every sequence (prompt tuning).
        "soft-prompt" => SoftPrompt(SoftPrompt),
        /// Named tokens before every sequence, whose vectors are drawn and never learn.
        "special-tokens" => SpecialTokens(SpecialTokens),
    }
}

impl AnyAdapter {
    /// What the names of its parameters begin with.
    pub fn prefix(&self) -> String {
        format!("{}.{}", self.as_dyn().group().name(), self.name())
    }

    /// The names of the parameters it adds to a backbone of this shape.
    pub fn parameter_names(&self, shape: Shape) -> Vec<String> {
        let prefix = self.prefix();
        let added = self.as_dyn().parameters(shape).into_iter();
        added.map(|(name, _, _)| format!("{prefix}.{name}")).collect()
    }

    /// Adds its parameters, which follow from `seeds` and their names.
    pub(crate) fn add(
        &self,
        shape: Shape,
        parameters: &mut Parameters,
        seeds: &SeedTree,
    ) -> Result<()> {
        let prefix = self.prefix();
        for (name, dimensions, init) in self.as_dyn().parameters(shape) {
            parameters.add(&format!("{prefix}.{name}"), &dimensions, init, seeds)?;
        }
        Ok(())
    }
}

/// A setting of an adapter is a number from 1 to `most`.
fn check_count(name: &str, found: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::setting(name, found, format!("a number from 1 to {most}")))
}
