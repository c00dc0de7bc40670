//! A causal stack of gated attention without softmax.

use serde::{Deserialize, Serialize};

use super::shape::{Overrides, is_not};
use super::{AnyBackbone, Backbone, Shape, Size, Views};
use crate::Result;
use crate::fused::{BlockKind, Epsilon, FeedForward, Norm, Positions, Style};

/// A causal stack of hierarchical sequential transduction units: attention whose weights are not
/// normalised, so that they say how much as well as what, gated, with no feed-forward half (Zhai
/// et al. 2024, *Actions speak louder than words*). What is absent follows from `size`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Hstu {
    /// How large; the one dial.
    pub size: Size,
    /// Blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Attention heads a block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Width of the residual stream, of the embeddings, and of all heads' queries, keys, values and
    /// gates together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_size: Option<usize>,
    /// The longest sequence, 50 where absent; of longer ones the end is kept. Attention is divided
    /// by it.
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
    /// How a token knows where it stands: `relative`, `learned` or `rotary`.
    pub positions: Positions,
    /// Whether the time between two tokens adds to their score; for data with times.
    #[serde(skip_serializing_if = "is_not")]
    pub intervals: bool,
}

impl Default for Hstu {
    fn default() -> Self {
        Self {
            size: Size::default(),
            layers: None,
            heads: None,
            embedding_size: None,
            max_length: None,
            dropout: None,
            views: Views::default(),
            norm: Norm::default(),
            positions: Positions::Relative,
            intervals: false,
        }
    }
}

impl Backbone for Hstu {
    fn shape(&self) -> Result<Shape> {
        let style = |longest| Style {
            norm: self.norm,
            norm_epsilon: Epsilon::default(),
            feed_forward: FeedForward::default(),
            positions: self.positions,
            intervals: self.intervals,
            kind: BlockKind::Hstu { longest },
            ..Style::default()
        };
        let shape = self.size.shape(Overrides {
            layers: self.layers,
            heads: self.heads,
            embedding_size: self.embedding_size,
            inner_size: Some(0),
            max_length: self.max_length,
            dropout: self.dropout,
            views: self.views,
            style: style(1),
        })?;
        Ok(Shape { style: style(shape.max_length), ..shape })
    }

    fn resolved(&self) -> Result<AnyBackbone> {
        let shape = self.shape()?;
        Ok(AnyBackbone::Hstu(Self {
            layers: Some(shape.layers),
            heads: Some(shape.heads),
            embedding_size: Some(shape.embedding_size),
            max_length: Some(shape.max_length),
            dropout: Some(shape.dropout),
            ..self.clone()
        }))
    }

    fn is_bidirectional(&self) -> bool {
        false
    }
}
