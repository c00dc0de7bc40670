//! The operations where training and ranking spend their time, each with its backward pass.
//!
//! A tensor library spends most of a small transformer's step on element-wise passes, copies and
//! fresh buffers between its operations. Each operation here does in one go what would be many
//! there. Its twin in [`crate::composite`], written in plain tensor operations, is the oracle of
//! its tests and stands in for it on devices other than the CPU.
//!
//! Sequences of a batch are *packed*: their tokens stand one after the other in a matrix of one
//! row a token, without padding.
//!
//! Results do not depend on the number of threads: work is divided into [`Lanes`] by the batch
//! alone, and sums over lanes are taken in their order.

#![expect(
    clippy::inline_always,
    reason = "a helper gains from the machine's registers only inside the caller that asked for them"
)]

mod attention;
mod block;
mod catalog_softmax;
mod counted;
mod embedding;
mod features;
mod intervals;
mod lanes;
mod linear;
mod mask;
mod matrix;
mod mixture;
mod multi_label;
mod norm;
mod pairs;
mod pending;
mod permutation;
mod post_norm;
mod pre_norm;
mod quantised;
mod ranking;
mod relative;
mod rms_norm;
mod rotary;
mod rows;
mod sampled;
mod scratch;
mod simd;
mod sink;
mod style;
mod vocabulary;

pub use block::{Block, BlockShape, BlockWeights};
pub(crate) use block::{BlockCache, PARAMETERS, Seen};
pub use catalog_softmax::CatalogSoftmax;
pub use counted::operations;
pub use embedding::Embedding;
pub use features::Features;
pub(crate) use intervals::INTERVALS;
pub use intervals::Intervals;
pub use lanes::Lanes;
pub use linear::{Activation, Linear};
pub use mask::AttentionMask;
pub use matrix::{Precision, View, multiply, multiply_add};
pub use mixture::{Mixture, MixtureWeights};
pub use multi_label::MultiLabelLoss;
pub use norm::LayerNorm;
pub(crate) use norm::Norms;
pub use permutation::Permutation;
pub(crate) use permutation::{ITERATIONS, LEAST, TEMPERATURE};
pub use post_norm::{PostNormBlock, PostNormShape, PostNormWeights, post_norm_blocks};
pub use pre_norm::{
    Active, Affine, More, Past, PreNormBlock, PreNormShape, PreNormWeights, WithBias,
    pre_norm_blocks,
};
pub use quantised::{Codes, Matrix, Quantised, multiply_quantised};
pub use ranking::{Int8Table, Keeper, ROWS as RANKED_ROWS, rank};
pub(crate) use relative::{BUCKETS, FAR, buckets};
pub use rms_norm::RmsNorm;
pub use rotary::Rotation;
pub use rows::RowGradients;
pub use sampled::{SampledKind, SampledLoss};
pub use simd::Dropout;
pub(crate) use simd::vectorised;
pub(crate) use sink::add_in_pieces;
pub use sink::{RowSink, Sink};
pub use style::{BlockKind, Epsilon, FeedForward, Norm, Positions, Style};
pub use vocabulary::Vocabulary;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The numbers of a contiguous f32 tensor, as a custom operation receives it.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => bail!("a fused operation needs contiguous tensors"),
        _ => bail!("a fused operation needs f32 tensors"),
    }
}

/// The numbers of a CPU f32 tensor, to be changed in their place.
pub(crate) fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("an operation in place needs contiguous f32 tensors"),
    }
}

/// Calls `f` with the numbers of a CPU f32 tensor.
pub(crate) fn with_slice<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => bail!("a fused operation runs on the CPU only"),
    }
}

/// A tensor of `values` with the shape of `like`.
pub(crate) fn tensor_like(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}
