//! An encoder and a decoder that looks at what it has found.

use serde::{Deserialize, Serialize};

use super::shape::{Overrides, is_not};
use super::{AnyBackbone, Backbone, Shape, Size, Views};
use crate::Result;
use crate::fused::{BlockKind, Epsilon, FeedForward, Norm, Positions, Style};

/// A bidirectional transformer that reads tokens, and a causal one over those that follow, each of
/// whose blocks also looks at what the first has found. What is absent follows from `size`.
///
/// # What it does
/// A block of the decoder is attention to the tokens before, attention to the encoder's states of
/// the same sequence (without distances), feed-forward layer, in this order. Both read the same
/// embeddings of tokens; embeddings of places are of each its own, and so are distances.
///
/// # References
/// Vaswani et al. 2017; Raffel et al. 2020, *T5*, which shares distances between blocks; over item
/// ids, one token each, after the architecture of *P5* (Geng et al. 2022), which has words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EncoderDecoder {
    /// How large; the one dial.
    pub size: Size,
    /// Transformer blocks of each half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Those of the encoder; as `layers` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_layers: Option<usize>,
    /// Those of the decoder; as `layers` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_layers: Option<usize>,
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
    /// Whether the time between two tokens adds to their score, in each half among its own; for data
    /// with times.
    #[serde(skip_serializing_if = "is_not")]
    pub intervals: bool,
}

impl EncoderDecoder {
    /// The numbers of a half with so many layers, if that is said.
    fn half(&self, layers: Option<usize>) -> Result<Shape> {
        self.size.shape(Overrides {
            layers: layers.or(self.layers),
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
                ..Style::default()
            },
        })
    }
}

impl Backbone for EncoderDecoder {
    fn shape(&self) -> Result<Shape> {
        let encoder = self.half(self.encoder_layers)?;
        Ok(Shape { encoder_layers: encoder.layers, ..self.half(self.decoder_layers)? })
    }

    fn resolved(&self) -> Result<AnyBackbone> {
        let shape = self.shape()?;
        Ok(AnyBackbone::EncoderDecoder(Self {
            size: self.size,
            layers: None,
            encoder_layers: Some(shape.encoder_layers),
            decoder_layers: Some(shape.layers),
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
            intervals: self.intervals,
        }))
    }

    fn is_bidirectional(&self) -> bool {
        false
    }
}
