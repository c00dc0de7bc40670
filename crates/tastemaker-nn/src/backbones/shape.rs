//! How large a backbone is.

use serde::{Deserialize, Serialize};

use super::Views;
use crate::fused::Style;
use crate::{Error, Result};

/// The one dial of a backbone's size; single numbers can still be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// 2 layers of 64, 2 heads.
    #[default]
    Tiny,
    /// 2 layers of 128, 2 heads.
    Small,
    /// 4 layers of 256, 4 heads.
    Base,
}

/// A transformer's numbers, all of them known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shape {
    /// Transformer blocks; those of the decoder, where there is an encoder beside it.
    pub layers: usize,
    /// Blocks of an encoder whose states a decoder reads; 0 where there is none.
    pub encoder_layers: usize,
    /// Attention heads a block.
    pub heads: usize,
    /// Numbers of a head.
    pub head_size: usize,
    /// Width of the residual stream, and of the embeddings.
    pub embedding_size: usize,
    /// Width of the feed-forward layer; 0 where there is none.
    pub inner_size: usize,
    /// The longest sequence; of longer ones the end is kept.
    pub max_length: usize,
    /// Share of activations dropped in training.
    pub dropout: f32,
    /// What is told of a token beside itself.
    pub views: Views,
    /// The choices of its blocks.
    pub style: Style,
}

/// The numbers of a [`Shape`] as a study may write them: those that are absent follow from `size`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    pub(crate) layers: Option<usize>,
    pub(crate) heads: Option<usize>,
    pub(crate) embedding_size: Option<usize>,
    pub(crate) inner_size: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) dropout: Option<f32>,
    pub(crate) views: Views,
    pub(crate) style: Style,
}

/// Whether a setting is off, which goes without saying.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn is_not(setting: &bool) -> bool {
    !setting
}

impl Size {
    /// The shape of this size with `overrides` put in.
    pub(crate) fn shape(self, overrides: Overrides) -> Result<Shape> {
        let (layers, heads, width) = match self {
            Self::Tiny => (2, 2, 64),
            Self::Small => (2, 2, 128),
            Self::Base => (4, 4, 256),
        };
        let embedding_size = overrides.embedding_size.unwrap_or(width);
        let heads = overrides.heads.unwrap_or(heads);
        let shape = Shape {
            layers: overrides.layers.unwrap_or(layers),
            encoder_layers: 0,
            heads,
            head_size: embedding_size / heads.max(1),
            embedding_size,
            inner_size: overrides.inner_size.unwrap_or(4 * embedding_size),
            max_length: overrides.max_length.unwrap_or(50),
            dropout: overrides.dropout.unwrap_or(0.2),
            views: overrides.views,
            style: overrides.style,
        };
        shape.check()?;
        Ok(shape)
    }
}

impl Shape {
    /// Whether it is an encoder and a decoder.
    pub fn has_encoder(&self) -> bool {
        self.encoder_layers > 0
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("layers", self.layers),
            ("heads", self.heads),
            ("embedding-size", self.embedding_size),
            ("max-length", self.max_length),
        ];
        let inner = self.style.kind.has_feed_forward().then_some(("inner-size", self.inner_size));
        for (name, value) in positive.into_iter().chain(inner) {
            if value == 0 || value > 65_536 {
                return Err(Error::setting(name, value, "a number from 1 to 65536"));
            }
        }
        if !self.embedding_size.is_multiple_of(8 * self.heads) {
            let expected = format!("a multiple of 8 times heads ({})", 8 * self.heads);
            return Err(Error::setting("embedding-size", self.embedding_size, expected));
        }
        if !self.inner_size.is_multiple_of(8) {
            return Err(Error::setting("inner-size", self.inner_size, "a multiple of 8"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::setting("dropout", self.dropout, "from 0 up to, not including, 1"));
        }
        Ok(())
    }
}
