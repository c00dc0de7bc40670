//! A causal transformer over tokens.

use serde::{Deserialize, Serialize};

use super::shape::{Overrides, is_not};
use super::{AnyBackbone, Backbone, Shape, Size, Views};
use crate::fused::{BlockKind, Epsilon, FeedForward, Norm, Positions, Style};
use crate::{Error, Result};

/// A causal transformer over tokens. What is absent follows from `size`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Decoder {
    /// How large; the one dial.
    pub size: Size,
    /// Transformer blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Attention heads a block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Width of the residual stream, and of the embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_size: Option<usize>,
    /// Width of the feed-forward layer; four times the embedding size where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_size: Option<usize>,
    /// The longest sequence, 50 where absent; of longer ones the end is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Share of activations dropped in training, 0.2 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f32>,
    /// What is told of each item beside itself, as far as the data has times; its embedding is
    /// added to the item's.
    #[serde(skip_serializing_if = "Views::is_empty")]
    pub views: Views,
    /// How states are normalised: `layer` or `rms`.
    pub norm: Norm,
    /// What norms add to the variance or the mean square; 1e-5 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_epsilon: Option<Epsilon>,
    /// What stands in the feed-forward half of a block: `gelu`, `gelu-tanh`, `relu`, `swiglu` or
    /// `geglu-tanh`.
    pub feed_forward: FeedForward,
    /// How a token knows where it stands: `learned`, `relative` or `rotary`.
    pub positions: Positions,
    /// Where places turn, the slowest angle is about this much smaller than the fastest; 10000
    /// where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotary_base: Option<u32>,
    /// Whether the time between two tokens adds to their score; for data with times.
    #[serde(skip_serializing_if = "is_not")]
    pub intervals: bool,
}

impl Backbone for Decoder {
    fn shape(&self) -> Result<Shape> {
        match self.rotary_base {
            Some(base) if self.positions != Positions::Rotary => {
                let expected = "absent, or positions = \"rotary\" beside it";
                return Err(Error::setting("rotary-base", base, expected));
            }
            Some(base) if base < 2 => {
                return Err(Error::setting("rotary-base", base, "2 or more"));
            }
            _ => {}
        }
        self.size.shape(Overrides {
            layers: self.layers,
            heads: self.heads,
            embedding_size: self.embedding_size,
            inner_size: self.inner_size,
            max_length: self.max_length,
            dropout: self.dropout,
            views: self.views,
            style: Style {
                norm: self.norm,
                norm_epsilon: self.norm_epsilon.unwrap_or_default(),
                feed_forward: self.feed_forward,
                positions: self.positions,
                intervals: self.intervals,
                kind: BlockKind::Transformer,
                rotary_base: self.rotary_base.unwrap_or(Style::default().rotary_base),
                ..Style::default()
            },
        })
    }

    fn resolved(&self) -> Result<AnyBackbone> {
        let shape = self.shape()?;
        Ok(AnyBackbone::Decoder(Self {
            size: self.size,
            layers: Some(shape.layers),
            heads: Some(shape.heads),
            embedding_size: Some(shape.embedding_size),
            inner_size: Some(shape.inner_size),
            max_length: Some(shape.max_length),
            dropout: Some(shape.dropout),
            views: self.views,
            norm: self.norm,
            norm_epsilon: self.norm_epsilon,
            feed_forward: self.feed_forward,
            positions: self.positions,
            rotary_base: (self.positions == Positions::Rotary).then_some(shape.style.rotary_base),
            intervals: self.intervals,
        }))
    }

    fn is_bidirectional(&self) -> bool {
        false
    }
}
