//! Losses against sampled negatives.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::catalog_softmax::{add_scaled, scale};
use super::pending::Pending;
use super::simd::{dot, exp, max, vectorised};
use super::{RowGradients, RowSink, slice, tensor_like};
use crate::composite;

/// Which loss is taken of the score s⁺ of a target and the scores sᵢ of its n negatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampledKind {
    /// −log( e^s⁺ / (e^s⁺ + Σ e^sᵢ) ).
    Softmax,
    /// −( log σ(s⁺)^β + Σ log(1 − σ(sᵢ)) ) / (n + 1); β = 1 is binary cross-entropy, other β
    /// are generalised binary cross-entropy (Petrov and Macdonald 2023, gSASRec).
    Binary {
        /// The exponent β of the target's probability.
        beta: f32,
    },
    /// −Σ log σ(s⁺ − sᵢ) / n (Rendle et al. 2009, BPR).
    Pairwise,
}

/// The mean of a [`SampledKind`] over rows, as an operation on the hidden states [rows, width]
/// and the table [vocabulary, width], where a score is a dot product of the two.
///
/// The gradients are made with the loss. That of the table is of the rows that were drawn. It goes
/// to a sink where there is one, and else, as that of the whole table, to the tensor library.
pub struct SampledLoss {
    kind: SampledKind,
    classes: Vec<u32>,
    rows: usize,
    sink: Option<RowSink>,
    gradients: Pending<(Vec<f32>, RowGradients)>,
}

impl SampledLoss {
    /// The loss of `rows` rows, whose `classes` are, row after row, the target and then its
    /// negatives.
    pub fn new(kind: SampledKind, classes: Vec<u32>, rows: usize) -> Self {
        Self { kind, classes, rows, sink: None, gradients: Pending::default() }
    }

    /// Leaves the gradient of the table's rows in `sink`.
    #[must_use]
    pub fn sink(self, sink: RowSink) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// The loss, differentiable.
    pub fn apply(self, hidden: &Tensor, table: &Tensor) -> Result<Tensor> {
        if hidden.device().is_cpu() {
            return hidden.apply_op2(table, self);
        }
        composite::sampled_loss(self.kind, hidden, table, &self.classes)
    }

    fn run(&self, hidden: &[f32], table: &[f32], width: usize) -> (f64, Vec<f32>, RowGradients) {
        let n = self.classes.len() / self.rows;
        let mut slopes = vec![0.0; self.classes.len()];
        let mut d_hidden = vec![0.0; hidden.len()];
        let inputs = hidden.par_chunks_exact(width).zip(self.classes.par_chunks_exact(n));
        let outputs = d_hidden.par_chunks_exact_mut(width).zip(slopes.par_chunks_exact_mut(n));
        let losses: Vec<f32> = inputs
            .zip(outputs)
            .map(|((hidden, classes), (d_hidden, slopes))| {
                row(self, (hidden, classes), table, d_hidden, slopes)
            })
            .collect();
        let n_rows = table.len() / width;
        let d_table = RowGradients::gather(n_rows, width, &self.classes, |entry, out| {
            add_scaled(out, slopes[entry], &hidden[entry / n * width..][..width]);
        });
        let loss = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / self.rows as f64;
        (loss, d_hidden, d_table)
    }
}

vectorised! {
    fn row<'a>(
        loss: &'a SampledLoss,
        row: (&'a [f32], &'a [u32]),
        table: &'a [f32],
        d_hidden: &'a mut [f32],
        slopes: &'a mut [f32],
    ) -> f32 = SampledLoss::row;
}

impl SampledLoss {
    /// A row's loss; its gradient goes to `d_hidden`, those of its scores to `slopes`.
    #[inline(always)]
    fn row(
        &self,
        (hidden, classes): (&[f32], &[u32]),
        table: &[f32],
        d_hidden: &mut [f32],
        slopes: &mut [f32],
    ) -> f32 {
        let width = hidden.len();
        for (score, &class) in slopes.iter_mut().zip(classes) {
            *score = dot(hidden, &table[class as usize * width..][..width]);
        }
        let loss = self.kind.loss(slopes, self.rows as f32);
        for (slope, &class) in slopes.iter().zip(classes) {
            add_scaled(d_hidden, *slope, &table[class as usize * width..][..width]);
        }
        loss
    }
}

impl SampledKind {
    /// A row's loss; its scores, the target's first, become the slopes of the mean over `rows`.
    #[inline(always)]
    fn loss(self, scores: &mut [f32], rows: f32) -> f32 {
        match self {
            Self::Softmax => {
                let (target, largest) = (scores[0], max(scores));
                let mut total = 0.0;
                for score in scores.iter_mut() {
                    *score = exp(*score - largest);
                    total += *score;
                }
                for score in scores.iter_mut() {
                    *score /= total * rows;
                }
                scores[0] -= 1.0 / rows;
                total.ln() + largest - target
            }
            Self::Binary { beta } => {
                let n = scores.len() as f32;
                let mut loss = beta * softplus(-scores[0]);
                scores[0] = -beta * sigmoid(-scores[0]) / (n * rows);
                for score in &mut scores[1..] {
                    loss += softplus(*score);
                    *score = sigmoid(*score) / (n * rows);
                }
                loss / n
            }
            Self::Pairwise => {
                let (target, n) = (scores[0], scores.len() as f32 - 1.0);
                let (mut loss, mut slope) = (0.0, 0.0);
                for score in &mut scores[1..] {
                    let ahead = target - *score;
                    loss += softplus(-ahead);
                    *score = sigmoid(-ahead) / (n * rows);
                    slope += *score;
                }
                scores[0] = -slope;
                loss / n
            }
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// log(1 + eˣ).
#[inline(always)]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + exp(-x.abs()).ln_1p()
}

impl CustomOp2 for SampledLoss {
    fn name(&self) -> &'static str {
        "sampled-loss"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = hidden_layout.shape().dims2()?;
        let (vocabulary, table_width) = table_layout.shape().dims2()?;
        let whole = rows > 0 && rows == self.rows && self.classes.len().is_multiple_of(rows);
        let in_range = self.classes.iter().all(|&class| (class as usize) < vocabulary);
        if !whole || !in_range || width != table_width {
            bail!(
                "{} classes for {} rows do not fit hidden states {rows} × {width} and a table {vocabulary} × {table_width}",
                self.classes.len(),
                self.rows
            );
        }
        let (loss, d_hidden, d_table) =
            self.run(slice(hidden, hidden_layout)?, slice(table, table_layout)?, width);
        self.gradients.keep((d_hidden, d_table));
        #[expect(clippy::cast_possible_truncation, reason = "a loss needs no more digits")]
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        table: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut d_hidden, mut d_table) = self.gradients.take()?;
        scale(&mut d_hidden, gradient.to_scalar()?);
        d_table.scale(gradient.to_scalar()?);
        let of_table = match &self.sink {
            _ if !table.track_op() => None,
            Some(sink) => {
                sink.add(d_table);
                None
            }
            None => Some(tensor_like(d_table.into_dense(table.elem_count()), table)?),
        };
        Ok((Some(tensor_like(d_hidden, hidden)?), of_table))
    }
}
