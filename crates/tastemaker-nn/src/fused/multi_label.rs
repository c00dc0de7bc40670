//! Binary cross-entropy of many labels a row, without ever holding the logits of a batch.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

use super::block::add_up;
use super::catalog_softmax::scale;
use super::linear::Pass;
use super::matrix::{Panels, Part, Precision, View, multiply_packed};
use super::pending::Pending;
use super::scratch::Scratch;
use super::simd::{WIDTH, exp, vectorised};
use super::{slice, tensor_like};
use crate::composite;

/// Rows a task takes; fixed, so that sums over tasks do not depend on the threads.
const ROWS: usize = 128;

/// The most labels whose logits exist at a time.
const LABELS: usize = 256;

/// The logits of a row lie this far from those of the next: a power of two would let those of a
/// label compete for the same places of the cache.
const STRIDE: usize = LABELS + 16;

/// The sum over rows and labels of −log σ(x · E) where the row has the label and −log(1 − σ(x · E))
/// where it has not, as an operation on `x` [rows, width] and the labels' table `E` [labels,
/// width]: log(1 + eˢ) of every score s, less the scores of the labels that are there.
///
/// The gradients are made with the loss, while the logits are at hand.
pub struct MultiLabelLoss {
    /// The labels of all rows, one row's after the other's.
    labels: Vec<u32>,
    /// Where each row's labels end.
    ends: Vec<usize>,
    precision: Precision,
    gradients: Pending<(Vec<f32>, Vec<f32>)>,
}

/// A few labels' rows of the table, packed for both passes.
struct Tile {
    labels: Range<usize>,
    forward: Panels,
    backward: Panels,
}

/// The rows of a task.
struct Rows<'a> {
    x: &'a [f32],
    /// The number of the first.
    first: usize,
    width: usize,
}

impl MultiLabelLoss {
    /// The loss of rows with these labels; a row has each of its labels once.
    pub fn new<'a>(of_rows: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let (mut labels, mut ends) = (vec![], vec![]);
        for row in of_rows {
            labels.extend_from_slice(row);
            ends.push(labels.len());
        }
        Self { labels, ends, precision: Precision::F32, gradients: Pending::default() }
    }

    /// Rounds the factors of the products to `precision`.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The labels of a row.
    pub(crate) fn of(&self, row: usize) -> &[u32] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.labels[start..self.ends[row]]
    }

    /// The loss, differentiable.
    pub fn apply(self, x: &Tensor, table: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            return x.apply_op2(table, self);
        }
        composite::multi_label_loss(x, table, &self)
    }

    fn run(&self, x: &[f32], table: &[f32], width: usize) -> (f64, Vec<f32>, Vec<f32>) {
        let n = table.len() / width;
        let tile = |start: usize| {
            let labels = start..n.min(start + LABELS);
            let rows = &table[labels.start * width..labels.end * width];
            let pack = |pass: Pass| pass.pack(self.precision, rows, labels.len());
            Tile { forward: pack(Pass::Forward), backward: pack(Pass::Backward), labels }
        };
        let tiles: Vec<Tile> = (0..n).step_by(LABELS).map(tile).collect();
        let mut dx = vec![0.0; x.len()];
        let pieces = x.par_chunks(ROWS * width).zip(dx.par_chunks_mut(ROWS * width));
        let (losses, d_tables): (Vec<f64>, Vec<Scratch>) = pieces
            .enumerate()
            .map(|(task, (x, dx))| {
                let mut d_table = Scratch::new(table.len());
                let rows = Rows { x, first: task * ROWS, width };
                (task_of(self, &rows, &tiles, dx, &mut d_table), d_table)
            })
            .unzip();
        (losses.iter().sum(), dx, add_up(&d_tables))
    }

    /// The loss of some rows; adds to their gradient `dx` and fills the table's.
    #[inline(always)]
    fn task(&self, rows: &Rows<'_>, tiles: &[Tile], dx: &mut [f32], d_table: &mut [f32]) -> f64 {
        let Rows { x, width, .. } = *rows;
        let (n, precision) = (x.len() / width, self.precision);
        let mut values = Scratch::new(n * STRIDE);
        let mut loss = 0.0;
        for tile in tiles {
            let (labels, x) = (tile.labels.clone(), View::rows(x, width));
            multiply_packed((&mut values, STRIDE, false), n, x, &tile.forward);
            for (row, values) in values.chunks_exact_mut(STRIDE).enumerate() {
                let of_tile = |label: &u32| {
                    labels.contains(&(*label as usize)).then(|| *label as usize - labels.start)
                };
                let there = self.of(rows.first + row).iter().filter_map(of_tile);
                loss += binary(&mut values[..labels.len()], there);
            }
            let slopes = View::rows(&values, STRIDE);
            let of_tile = &mut d_table[labels.start * width..labels.end * width];
            let shape = (labels.len(), width, n);
            precision.multiply(Part::Whole, (of_tile, width), shape, slopes.transposed(), x);
            multiply_packed((dx, width, true), n, slopes, &tile.backward);
        }
        loss
    }
}

vectorised! {
    fn task_of<'a>(
        loss: &'a MultiLabelLoss,
        rows: &'a Rows<'a>,
        tiles: &'a [Tile],
        dx: &'a mut [f32],
        d_table: &'a mut [f32],
    ) -> f64 = MultiLabelLoss::task;
}

/// The loss of a row's `scores`, of which those at `there` are of labels that it has; the scores
/// become their slopes.
#[inline(always)]
fn binary(scores: &mut [f32], there: impl Iterator<Item = usize> + Clone) -> f64 {
    let of_there: f32 = there.clone().map(|at| scores[at]).sum();
    // Σ log(1 + e^−|s|) is the logarithm of a product of numbers from 1 to 2.
    let (mut positive, mut products) = ([0.0; WIDTH], [1.0_f32; WIDTH]);
    let (chunks, rest) = scores.as_chunks_mut::<WIDTH>();
    for chunk in chunks {
        for i in 0..WIDTH {
            let factor = soften(&mut chunk[i], &mut positive[i]);
            products[i] *= factor;
        }
    }
    for (i, score) in rest.iter_mut().enumerate() {
        let factor = soften(score, &mut positive[i]);
        products[i] *= factor;
    }
    for at in there {
        scores[at] -= 1.0;
    }
    // At most LABELS / WIDTH + 1 factors each, so that four are far from overflow.
    let logarithm = |few: &[f32]| f64::from(few.iter().product::<f32>().ln());
    let logarithms: f64 = products.chunks(4).map(logarithm).sum();
    logarithms + f64::from(positive.iter().sum::<f32>() - of_there)
}

/// Adds max(s, 0) to `positive` and puts σ(s) in the place of the score s: 1 + e^−|s|.
#[inline(always)]
fn soften(score: &mut f32, positive: &mut f32) -> f32 {
    let e = exp(-score.abs());
    *positive += score.max(0.0);
    *score = if *score >= 0.0 { 1.0 } else { e } / (1.0 + e);
    1.0 + e
}

impl CustomOp2 for MultiLabelLoss {
    fn name(&self) -> &'static str {
        "multi-label-loss"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = x_layout.shape().dims2()?;
        let (n, table_width) = table_layout.shape().dims2()?;
        let in_range = self.labels.iter().all(|&label| (label as usize) < n);
        if rows != self.ends.len() || rows == 0 || n == 0 || width != table_width || !in_range {
            bail!(
                "labels of {} rows do not fit {rows} × {width} and a table {n} × {table_width}",
                self.ends.len()
            );
        }
        let (loss, dx, d_table) = self.run(slice(x, x_layout)?, slice(table, table_layout)?, width);
        self.gradients.keep((dx, d_table));
        #[expect(clippy::cast_possible_truncation, reason = "a loss needs no more digits")]
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        table: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut d_table) = self.gradients.take()?;
        scale(&mut dx, gradient.to_scalar()?);
        scale(&mut d_table, gradient.to_scalar()?);
        Ok((Some(tensor_like(dx, x)?), Some(tensor_like(d_table, table)?)))
    }
}
