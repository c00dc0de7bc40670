//! The fused operations in plain, differentiable tensor operations.
//!
//! They are the oracle of the fused operations' tests, and what runs on devices that the fused
//! operations do not know. (`candle_nn`'s layer norm and softmax have no backward pass and would
//! cut the gradient without a word, so they are not used.)

mod attention;

use std::sync::Arc;

use candle_core::{D, DType, Result, Tensor};
use rayon::prelude::*;

use self::attention::{Padded, softmax};

use crate::fused::{
    Activation, AttentionMask, BlockKind, BlockShape, Dropout, Epsilon, Features, FeedForward,
    ITERATIONS, Intervals, LEAST, Lanes, Mixture, MixtureWeights, MultiLabelLoss, Norm,
    Permutation, Positions, SampledKind, TEMPERATURE,
};

/// `x` with dropout's mask for its activations.
fn drop(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    if dropout.is_none() {
        return Ok(x.clone());
    }
    let n = u32::try_from(x.elem_count()).map_err(candle_core::Error::wrap)?;
    let mask: Vec<f32> = (0..n).into_par_iter().map(|i| dropout.factor(i)).collect();
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?)
}

/// Layer normalisation of the rows of `x`.
pub fn layer_norm(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    epsilon: Epsilon,
) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + f64::from(epsilon.get()))?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Root-mean-square normalisation of the rows of `x`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: Epsilon) -> Result<Tensor> {
    let square = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(epsilon.get()))?;
    x.broadcast_div(&square.sqrt()?)?.broadcast_mul(weight)
}

/// A linear layer; see [`crate::fused::Linear`].
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
    match activation {
        Activation::None => Ok(y),
        Activation::Relu => y.relu(),
        Activation::Gelu => y.gelu_erf(),
        Activation::Silu => y.div(&(y.neg()?.exp()? + 1.0)?),
    }
}

/// Embeddings of `tokens` at their `places`.
pub fn embedding(
    table: &Tensor,
    positions: &Tensor,
    (tokens, places): (&[u32], &[u32]),
    dropout: Dropout,
) -> Result<Tensor> {
    let device = table.device();
    let tokens = Tensor::from_slice(tokens, tokens.len(), device)?;
    let places = Tensor::from_slice(places, places.len(), device)?;
    drop(&table.index_select(&tokens, 0)?.add(&positions.index_select(&places, 0)?)?, dropout)
}

/// A table [rows, width] of what its rows have of their `own` and of `features`; see
/// [`crate::fused::Features`].
pub fn features(own: &Tensor, table: &Tensor, of: &Features, rows: usize) -> Result<Tensor> {
    let (mut numbers, mut to, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for (row, of) in (0..).zip((0..of.n_rows()).map(|row| of.of(row))) {
        numbers.extend_from_slice(of);
        to.resize(numbers.len(), row);
        shares.resize(numbers.len(), Features::share(of.len()));
    }
    let (n, device) = (numbers.len(), own.device());
    let shares = Tensor::from_vec(shares, (n, 1), device)?;
    let parts = table.index_select(&Tensor::from_vec(numbers, n, device)?, 0)?;
    let own = own.pad_with_zeros(0, rows - own.dim(0)?, 0)?;
    own.index_add(&Tensor::from_vec::<_, u32>(to, n, device)?, &parts.broadcast_mul(&shares)?, 0)
}

/// The rows of each group of `table` in the order that `scores` [groups, size, size] say; see
/// [`crate::fused::Permutation`].
pub fn permuted(scores: &Tensor, table: &Tensor, of: Permutation) -> Result<Tensor> {
    let [groups, size, _] = of.dimensions();
    let most = scores.max_keepdim(D::Minus1)?.detach();
    let k = (scores.broadcast_sub(&most)? / f64::from(TEMPERATURE))?.exp()?.maximum(LEAST)?;
    let (mut rows, mut columns) =
        (k.clone(), Tensor::ones((groups, 1, size), DType::F32, k.device())?);
    for _ in 0..ITERATIONS {
        rows = k.broadcast_mul(&columns)?.sum_keepdim(2)?.recip()?;
        columns = k.broadcast_mul(&rows)?.sum_keepdim(1)?.recip()?;
    }
    let scaled = k.broadcast_mul(&rows)?.broadcast_mul(&columns)?;
    let chosen = of.chosen(&scores.flatten_all()?.to_vec1::<f32>()?);
    let mut hard = vec![0.0_f32; groups * size * size];
    for (row, chosen) in chosen.iter().enumerate() {
        hard[row * size + *chosen as usize % size] = 1.0;
    }
    let hard = Tensor::from_vec(hard, (groups, size, size), k.device())?;
    let permutation = ((&scaled - scaled.detach())? + hard)?;
    permutation.matmul(&table.reshape((groups, size, ()))?)?.reshape(table.shape())
}

/// A table [rows, width] of what its rows have of their `own` and of what a mixture makes; see
/// [`crate::fused::Mixture`].
pub fn mixture(
    own: &Tensor,
    weights: &MixtureWeights<&Tensor>,
    of: &Mixture,
    rows: usize,
) -> Result<Tensor> {
    let (n, device) = (of.n_rows(), own.device());
    let x = Tensor::from_slice(of.vectors(), (n, of.inputs()), device)?;
    let logits = x.matmul(weights.gate)?;
    let gates = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let gates = gates.broadcast_div(&gates.sum_keepdim(D::Minus1)?)?;
    let mut table = own.pad_with_zeros(0, rows - own.dim(0)?, 0)?;
    for k in 0..of.experts() {
        let made = x.matmul(&weights.maps.get(k)?)?.broadcast_add(&weights.offsets.get(k)?)?;
        let part = made.broadcast_mul(&gates.narrow(1, k, 1)?)?;
        table = (table + part.pad_with_zeros(0, 0, rows - n)?)?;
    }
    Ok(table)
}

/// A block; see [`crate::fused::Block`]. What is hidden from tokens beside what always is, and the
/// time between them, are given where there is such a thing.
pub fn block(
    shape: BlockShape,
    x: &Tensor,
    weights: &Tensor,
    lanes: &Arc<Lanes>,
    looks: (Option<&AttentionMask>, Option<&Intervals>),
    dropout: Dropout,
) -> Result<Tensor> {
    reading_block(shape, (x, None), weights, lanes, looks, dropout)
}

/// [`block`], which also reads an encoder's states, if there are any.
pub fn reading_block(
    shape: BlockShape,
    (x, memory): (&Tensor, Option<(&Tensor, &Lanes)>),
    weights: &Tensor,
    lanes: &Arc<Lanes>,
    (hidden, intervals): (Option<&AttentionMask>, Option<&Intervals>),
    dropout: Dropout,
) -> Result<Tensor> {
    let mut start = 0;
    let mut part = Vec::with_capacity(shape.parameters().len());
    for (_, dimensions) in shape.parameters() {
        let n: usize = dimensions.iter().product();
        // What a block does not have is never looked at.
        let whole = if n == 0 { weights.narrow(0, 0, 0)? } else { weights.narrow(0, start, n)? };
        part.push(whole.reshape(dimensions)?);
        start += n;
    }
    let norm = |x: &Tensor, i: usize| match shape.style.norm {
        Norm::Layer => layer_norm(x, (&part[i], &part[i + 1]), shape.style.norm_epsilon),
        Norm::Rms => rms_norm(x, &part[i], shape.style.norm_epsilon),
    };
    let linear = |x: &Tensor, i: usize| x.matmul(&part[i].t()?)?.broadcast_add(&part[i + 1]);
    let size = shape.size;
    let spread = Padded::new(lanes, x.device())?;
    let mut qkv = linear(&norm(x, 0)?, 2)?;
    let hstu = matches!(shape.style.kind, BlockKind::Hstu { .. });
    if hstu {
        qkv = qkv.silu()?;
    }
    let each = spread.heads(&qkv, (shape.style.kind.projections(), shape.heads))?;
    let (mut q, mut k, v) = (each[0].clone(), each[1].clone(), &each[2]);
    let scaled = |x: &Tensor, i: usize| rms_norm(x, &part[i], shape.style.norm_epsilon);
    if shape.style.head_norms {
        (q, k) = (scaled(&q, 22)?, scaled(&k, 23)?);
    }
    let found = |x: Tensor, i: usize| if shape.style.after_norms { scaled(&x, i) } else { Ok(x) };
    if shape.style.positions == Positions::Rotary {
        let base = shape.style.rotary_base;
        (q, k) = (spread.turned(&q, base)?, spread.turned(&k, base)?);
    }
    let scale = if hstu { 1.0 } else { (size as f64).sqrt() };
    let mut scores = (q.matmul(&k.t()?)? / scale)?;
    if shape.style.positions == Positions::Relative {
        scores = scores.broadcast_add(&spread.distances(&part[12], shape.causal)?)?;
    }
    if let Some(intervals) = intervals.filter(|_| shape.style.intervals) {
        scores = scores.add(&spread.apart(&part[21], intervals)?)?;
    }
    let mask = spread.mask(shape.causal, hidden)?;
    let looks = match shape.style.kind {
        BlockKind::Transformer => softmax(&scores.broadcast_add(&mask)?)?,
        BlockKind::Hstu { longest } => {
            let sees = mask.ge(-1.0)?.to_dtype(scores.dtype())?;
            (scores.silu()?.broadcast_mul(&sees)? / longest as f64)?
        }
    };
    let attended = spread.packed(&looks.matmul(v)?)?;
    if hstu {
        let gates = qkv.narrow(1, 3 * shape.width, shape.width)?;
        let active = norm(&attended, 6)?.mul(&gates)?;
        return x.add(&drop(&linear(&active, 4)?, dropout.at(0))?);
    }
    let middle = x.add(&drop(&found(linear(&attended, 4)?, 24)?, dropout.at(0))?)?;
    let middle = match memory {
        None => middle,
        Some((memory, of_memory)) => {
            let read = Padded::new(of_memory, x.device())?;
            let queries = spread.heads(&linear(&norm(&middle, 13)?, 15)?, (1, shape.heads))?;
            let kv = read.heads(&linear(memory, 17)?, (2, shape.heads))?;
            let scores = (queries[0].matmul(&kv[0].t()?)? / (size as f64).sqrt())?;
            let looks = softmax(&scores.broadcast_add(&read.ends()?)?)?;
            let attended = spread.packed(&looks.matmul(&kv[1])?)?;
            middle.add(&drop(&linear(&attended, 19)?, dropout.at(2))?)?
        }
    };
    let inner = linear(&norm(&middle, 6)?, 8)?;
    let half = |i: usize| inner.narrow(1, i * shape.inner, shape.inner);
    let inner = match shape.style.feed_forward {
        FeedForward::Gelu => inner.gelu_erf()?,
        FeedForward::GeluTanh => inner.gelu()?,
        FeedForward::Relu => inner.relu()?,
        FeedForward::GegluTanh => half(0)?.gelu()?.mul(&half(1)?)?,
        FeedForward::Swiglu => half(0)?.silu()?.mul(&half(1)?)?,
    };
    middle.add(&drop(&found(linear(&inner, 10)?, 25)?, dropout.at(1))?)
}

/// Mean of −log softmax(h · Eᵀ) at the target over the first `classes` rows of the table, each row
/// times its weight, if there are weights.
pub fn catalog_softmax(
    hidden: &Tensor,
    table: &Tensor,
    (targets, weights): (&[u32], Option<&[f32]>),
    classes: usize,
) -> Result<Tensor> {
    let logits = hidden.matmul(&table.narrow(0, 0, classes)?.t()?)?;
    let losses = log_softmax_at(&logits, targets)?;
    match weights {
        Some(weights) => {
            losses.mul(&Tensor::from_slice(weights, losses.shape(), losses.device())?)?
        }
        None => losses,
    }
    .mean_all()
}

/// −log softmax of each row at its target: [rows, 1].
pub fn log_softmax_at(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_total = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let targets = Tensor::from_slice(targets, (targets.len(), 1), logits.device())?;
    log_total.sub(&shifted.gather(&targets, 1)?)
}

/// The mean over rows of a loss against sampled negatives; see [`crate::fused::SampledLoss`].
pub fn sampled_loss(
    kind: SampledKind,
    hidden: &Tensor,
    table: &Tensor,
    classes: &[u32],
) -> Result<Tensor> {
    let (rows, width) = hidden.dims2()?;
    let n = classes.len() / rows;
    let classes = Tensor::from_slice(classes, classes.len(), table.device())?;
    let of_classes = table.index_select(&classes, 0)?.reshape((rows, n, width))?;
    let scores = of_classes.matmul(&hidden.unsqueeze(2)?)?.squeeze(2)?;
    match kind {
        SampledKind::Softmax => log_softmax_at(&scores, &vec![0; rows])?.mean_all(),
        SampledKind::Binary { beta } => {
            let target = (softplus(&scores.narrow(1, 0, 1)?.neg()?)? * f64::from(beta))?;
            let negatives = softplus(&scores.narrow(1, 1, n - 1)?)?;
            (target.sum_all()?.add(&negatives.sum_all()?)? / (rows * n) as f64)?
                .to_dtype(DType::F32)
        }
        SampledKind::Pairwise => {
            let behind = scores.narrow(1, 1, n - 1)?.broadcast_sub(&scores.narrow(1, 0, 1)?)?;
            softplus(&behind)?.mean_all()
        }
    }
}

/// Binary cross-entropy of the labels of all rows, added up; see [`crate::fused::MultiLabelLoss`].
pub fn multi_label_loss(x: &Tensor, table: &Tensor, loss: &MultiLabelLoss) -> Result<Tensor> {
    let (rows, n) = (x.dim(0)?, table.dim(0)?);
    let mut labels = vec![0.0_f32; rows * n];
    for row in 0..rows {
        for &label in loss.of(row) {
            labels[row * n + label as usize] = 1.0;
        }
    }
    let labels = Tensor::from_vec(labels, (rows, n), x.device())?;
    let scores = x.matmul(&table.t()?)?;
    softplus(&scores)?.sub(&scores.mul(&labels)?)?.sum_all()
}

/// log(1 + eˣ), without a number that is too large.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()?.add(&(x.abs()?.neg()?.exp()? + 1.0)?.log()?)
}
