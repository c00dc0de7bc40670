//! Low-rank changes of the blocks' matrices.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Adapter, Added, Own, check_count};
use crate::backbones::Shape;
use crate::parameters::{Group, Init};
use crate::transformer::blocks;
use crate::{Error, Result};

/// Low-rank changes of the blocks' matrices.
///
/// # Formula
/// W′ = W + (alpha / rank) · up · down, with down [rank, inputs] normal and up [outputs, rank]
/// zero at first. The product is added to W before a pass over a batch: a batch has many more
/// tokens than a matrix has columns, so this costs little, and the merged model is the same model.
///
/// # When not to use it
/// On backbones as small as those over item ids, where it saves hardly any memory.
///
/// # References
/// Hu et al. 2022, *`LoRA`: low-rank adaptation of large language models*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Lora {
    /// The rank of a change.
    pub rank: usize,
    /// A change is scaled by this over the rank.
    pub alpha: f64,
    /// The matrices that are changed; the usual list is all that a block has.
    pub targets: Vec<Target>,
}

/// A matrix of a block. Where a block also looks at an encoder's states, those of that attention
/// are meant with those of attention; one of an HSTU has the first two only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Of queries, keys, values and, in an HSTU, gates, one above the other.
    Qkv,
    /// Of attention's output.
    AttentionOut,
    /// Into the feed-forward layer.
    FeedForwardIn,
    /// Out of the feed-forward layer.
    FeedForwardOut,
}

impl Default for Lora {
    fn default() -> Self {
        let targets =
            vec![Target::Qkv, Target::AttentionOut, Target::FeedForwardIn, Target::FeedForwardOut];
        Self { rank: 8, alpha: 16.0, targets }
    }
}

impl Target {
    /// The weights' names in a block.
    fn weights(self) -> &'static [&'static str] {
        match self {
            Self::Qkv => &[
                "attention.qkv.weight",
                "cross-attention.query.weight",
                "cross-attention.kv.weight",
            ],
            Self::AttentionOut => &["attention.out.weight", "cross-attention.out.weight"],
            Self::FeedForwardIn => &["feed-forward.in.weight"],
            Self::FeedForwardOut => &["feed-forward.out.weight"],
        }
    }
}

impl Adapter for Lora {
    fn group(&self) -> Group {
        Group::Adapter
    }

    fn check(&self, shape: Shape) -> Result<()> {
        check_count("rank", self.rank, shape.embedding_size)?;
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(Error::setting("alpha", self.alpha, "a number above 0"));
        }
        let twice = (1..self.targets.len()).any(|i| self.targets[..i].contains(&self.targets[i]));
        let named = |target: &Target| serde_json::json!(target).to_string();
        let found =
            || format!("[{}]", self.targets.iter().map(named).collect::<Vec<_>>().join(", "));
        if self.targets.is_empty() || twice {
            return Err(Error::setting("targets", found(), "one matrix or more, each once"));
        }
        let of_attention = |target| matches!(target, &Target::Qkv | &Target::AttentionOut);
        let is_usual = self.targets == Self::default().targets;
        let has_all = is_usual || self.targets.iter().all(of_attention);
        if !shape.style.kind.has_feed_forward() && !has_all {
            let expected = "[\"qkv\", \"attention-out\"] or one of them, the matrices that an HSTU's block has";
            return Err(Error::setting("targets", found(), expected));
        }
        Ok(())
    }

    fn parameters(&self, shape: Shape, _values: usize) -> Vec<Added> {
        let mut all = Vec::new();
        for (block, parameters) in blocks(shape) {
            for (weight, dimensions) in parameters {
                if let ([outputs, inputs], true) = (&dimensions[..], self.changes(weight)) {
                    let name = format!("{block}.{weight}");
                    let down = vec![self.rank, *inputs];
                    all.push((format!("{name}.down"), down, Init::Normal(0.02)));
                    all.push((format!("{name}.up"), vec![*outputs, self.rank], Init::Zeros));
                }
            }
        }
        all
    }

    fn changes(&self, weight: &str) -> bool {
        self.targets.iter().any(|target| target.weights().contains(&weight))
    }

    fn is_mergeable(&self) -> bool {
        true
    }

    fn change(&self, own: Own<'_>, block: &str, weight: &str) -> Result<Option<Tensor>> {
        if !self.changes(weight) {
            return Ok(None);
        }
        let get = |part: &str| own.get(&format!("{block}.{weight}.{part}"));
        let product = get("up").matmul(get("down"))?;
        Ok(Some((product * (self.alpha / self.rank as f64))?))
    }
}
