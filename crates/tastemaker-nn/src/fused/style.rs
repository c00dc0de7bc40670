//! The choices between architectures of a block.

use serde::{Deserialize, Serialize};

use super::norm::Norms;
use super::rotary::BASE;

/// How states are normalised before each half of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// To mean 0 and variance 1, then scaled and shifted (Ba, Kiros and Hinton 2016).
    #[default]
    Layer,
    /// To a mean square of 1, then scaled (Zhang and Sennrich 2019).
    Rms,
}

/// What norms add to the variance or the mean square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct Epsilon(
    /// The bits of the number, which make it comparable.
    u32,
);

impl Epsilon {
    /// What it is where nothing else is said: 1e-5.
    pub const USUAL: Self = Self(1e-5_f32.to_bits());

    /// The number.
    pub fn get(self) -> f32 {
        f32::from_bits(self.0)
    }
}

impl Default for Epsilon {
    fn default() -> Self {
        Self::USUAL
    }
}

impl TryFrom<f32> for Epsilon {
    type Error = String;

    fn try_from(x: f32) -> Result<Self, String> {
        let good = x > 0.0 && x <= 1.0;
        if good { Ok(Self(x.to_bits())) } else { Err(format!("{x}, expected above 0 and up to 1")) }
    }
}

impl From<Epsilon> for f32 {
    fn from(epsilon: Epsilon) -> Self {
        epsilon.get()
    }
}

/// What stands between the two matrices of the feed-forward half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedForward {
    /// x Φ(x) (Hendrycks and Gimpel 2016).
    #[default]
    Gelu,
    /// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), the approximation to it in GPT-2.
    GeluTanh,
    /// max(x, 0), as the first transformer and T5.
    Relu,
    /// gelu(a) · b, with a and b as for [`FeedForward::Swiglu`] and that approximation, as T5 1.1
    /// (Shazeer 2020).
    GegluTanh,
    /// silu(a) · b, with a and b each as wide as the half, so that the first matrix has twice the
    /// rows (Shazeer 2020, *GLU variants improve transformer*).
    Swiglu,
}

impl FeedForward {
    /// Whether what is active is multiplied with as many numbers beside it.
    pub(crate) fn is_gated(self) -> bool {
        matches!(self, Self::GegluTanh | Self::Swiglu)
    }
}

/// How a token knows where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// An embedding for each place, added to the token's.
    #[default]
    Learned,
    /// A number a head for each distance of two tokens, added to their score (Raffel et al. 2020, T5;
    /// here each block has its own).
    Relative,
    /// Queries and keys turned by angles that grow with the place (Su et al. 2021, `RoFormer`).
    Rotary,
}

/// What a block is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// Attention by softmax, then a feed-forward half (Vaswani et al. 2017).
    #[default]
    Transformer,
    /// Attention by silu, gated, and no other half (Zhai et al. 2024, HSTU).
    Hstu {
        /// What attention is divided by: the most tokens that a sequence has.
        longest: usize,
    },
}

impl BlockKind {
    /// How many times as many rows as columns the first matrix of attention has: for queries, keys
    /// and values and, in an HSTU, gates.
    pub(crate) fn projections(self) -> usize {
        match self {
            Self::Transformer => 3,
            Self::Hstu { .. } => 4,
        }
    }

    /// Whether there is a feed-forward half.
    pub(crate) fn has_feed_forward(self) -> bool {
        self == Self::Transformer
    }
}

/// The choices of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Style {
    /// How states are normalised.
    pub norm: Norm,
    /// What its norms add to the variance or the mean square.
    pub norm_epsilon: Epsilon,
    /// What stands in the feed-forward half.
    pub feed_forward: FeedForward,
    /// How a token knows where it stands.
    pub positions: Positions,
    /// Whether the time between two tokens adds to their score, by a number a head for each
    /// bucket of [`super::Intervals`].
    pub intervals: bool,
    /// What it is made of.
    pub kind: BlockKind,
    /// Where places turn, the slowest angle is about this much smaller than the fastest.
    pub rotary_base: u32,
    /// Whether each head of queries, and of keys, is brought to a mean square of 1 and scaled before
    /// it is turned (Henry et al. 2020, *Query-key normalization*, as Qwen3 and Gemma 3 have it).
    pub head_norms: bool,
    /// Whether what attention and the feed-forward half add is brought to a mean square of 1 and scaled
    /// (Gemma Team 2024, *Gemma 2*).
    pub after_norms: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            norm: Norm::default(),
            norm_epsilon: Epsilon::default(),
            feed_forward: FeedForward::default(),
            positions: Positions::default(),
            intervals: false,
            kind: BlockKind::default(),
            rotary_base: BASE,
            head_norms: false,
            after_norms: false,
        }
    }
}

impl Style {
    /// Its norm, with this scale and shift.
    #[inline(always)]
    pub(crate) fn norms<'a>(self, weight: &'a [f32], bias: &'a [f32]) -> Norms<'a> {
        Norms { norm: self.norm, epsilon: self.norm_epsilon.get(), weight, bias }
    }
}
