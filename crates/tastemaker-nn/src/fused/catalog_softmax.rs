//! Softmax cross-entropy over a whole catalog, without ever holding the logits of a batch.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::matrix::{View, multiply, multiply_add};
use super::simd::{exp, max, simd, sum};
use super::{norm, slice, tensor_like};

/// Hidden states whose logits exist at a time.
const ROWS: usize = 128;

/// Classes of one task.
const CLASSES: usize = 512;

/// The mean over rows of −log softmax(h · Eᵀ) at the target, as an operation on the hidden states `h`
/// [rows, width] and the table `E` [at least classes, width]. Rows of `E` from `classes` on
/// (special tokens) are not classes.
///
/// The gradients are made with the loss, while the logits are at hand, if `learns` says so.
pub struct CatalogSoftmax {
    targets: Vec<u32>,
    classes: usize,
    gradients: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

/// The logits of some rows and the classes of one task, then e to the logits less their largest.
#[derive(Clone, Default)]
struct Tile {
    values: Vec<f32>,
    rows: Vec<TileRow>,
    d_hidden: Vec<f32>,
}

/// What one task knows of a row.
#[derive(Clone, Copy, Default)]
struct TileRow {
    largest: f32,
    /// Σ e^(logit − largest).
    total: f32,
    /// The target's logit, if the target is among the task's classes.
    target: f32,
}

impl CatalogSoftmax {
    /// The loss for one target class a row.
    pub fn new(targets: Vec<u32>, classes: usize) -> Self {
        Self { targets, classes, gradients: Mutex::default() }
    }

    fn run(&self, hidden: &[f32], table: &[f32], width: usize) -> (f64, Vec<f32>, Vec<f32>) {
        let mut d_hidden = vec![0.0; hidden.len()];
        let mut d_table = vec![0.0; table.len()];
        let table = &table[..self.classes * width];
        let mut tiles = vec![Tile::default(); self.classes.div_ceil(CLASSES)];
        let mut loss = 0.0;
        let rows = hidden.chunks(ROWS * width).zip(d_hidden.chunks_mut(ROWS * width));
        for ((hidden, d_hidden), targets) in rows.zip(self.targets.chunks(ROWS)) {
            let tables = table.par_chunks(CLASSES * width);
            tiles.par_iter_mut().zip(tables).enumerate().for_each(|(task, (tile, table))| {
                simd(|| tile.logits(task, (hidden, targets), table, width));
            });
            let totals = self.totals(&tiles, targets, &mut loss);
            let d_table = d_table[..self.classes * width].par_chunks_mut(CLASSES * width);
            let tables = table.par_chunks(CLASSES * width).zip(d_table);
            tiles.par_iter_mut().zip(tables).enumerate().for_each(
                |(task, (tile, (table, d_table)))| {
                    simd(|| tile.backward(task, (hidden, targets), &totals, table, d_table));
                },
            );
            for tile in &tiles {
                norm::add(d_hidden, &tile.d_hidden);
            }
        }
        (loss / self.targets.len() as f64, d_hidden, d_table)
    }

    /// Each row's largest logit and 1 / (n · Σ e^(logit − largest)); the loss is added to.
    fn totals(&self, tiles: &[Tile], targets: &[u32], loss: &mut f64) -> Vec<Total> {
        let n = self.targets.len() as f32;
        let total = |(row, &target): (usize, &u32)| {
            let rows = || tiles.iter().map(|tile| tile.rows[row]);
            let largest = rows().map(|row| row.largest).fold(f32::NEG_INFINITY, f32::max);
            let total: f32 = rows().map(|row| row.total * exp(row.largest - largest)).sum();
            let of_target = tiles[target as usize / CLASSES].rows[row].target;
            *loss += f64::from(total.ln() + largest - of_target);
            Total { largest, factor: 1.0 / (total * n), share: 1.0 / n }
        };
        targets.iter().enumerate().map(total).collect()
    }
}

/// What turns a row's e^(logit − largest of the tile) into the gradient of the mean loss.
struct Total {
    largest: f32,
    factor: f32,
    share: f32,
}

impl Tile {
    #[inline(always)]
    fn logits(
        &mut self,
        task: usize,
        (hidden, targets): (&[f32], &[u32]),
        table: &[f32],
        width: usize,
    ) {
        let (rows, classes) = (targets.len(), table.len() / width);
        self.values.resize(rows * classes, 0.0);
        let shape = (rows, classes, width);
        let table = View::rows(table, width).transposed();
        multiply(&mut self.values, classes, shape, View::rows(hidden, width), table);
        self.rows.clear();
        for (values, &target) in self.values.chunks_exact_mut(classes).zip(targets) {
            let (largest, class) = (max(values), target as usize % CLASSES);
            let target = if target as usize / CLASSES == task { values[class] } else { 0.0 };
            for value in values.iter_mut() {
                *value = exp(*value - largest);
            }
            self.rows.push(TileRow { largest, total: sum(values), target });
        }
    }

    #[inline(always)]
    fn backward(
        &mut self,
        task: usize,
        (hidden, targets): (&[f32], &[u32]),
        totals: &[Total],
        table: &[f32],
        d_table: &mut [f32],
    ) {
        let rows = targets.len();
        let (width, classes) = (hidden.len() / rows, self.values.len() / rows);
        for (row, values) in self.values.chunks_exact_mut(classes).enumerate() {
            let factor = exp(self.rows[row].largest - totals[row].largest) * totals[row].factor;
            for value in values.iter_mut() {
                *value *= factor;
            }
            if targets[row] as usize / CLASSES == task {
                values[targets[row] as usize % CLASSES] -= totals[row].share;
            }
        }
        let values = View::rows(&self.values, classes);
        self.d_hidden.resize(hidden.len(), 0.0);
        multiply(
            &mut self.d_hidden,
            width,
            (rows, width, classes),
            values,
            View::rows(table, width),
        );
        multiply_add(
            d_table,
            width,
            (classes, width, rows),
            values.transposed(),
            View::rows(hidden, width),
        );
    }
}

impl CustomOp2 for CatalogSoftmax {
    fn name(&self) -> &'static str {
        "catalog-softmax"
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
        let in_range = self.targets.iter().all(|&target| (target as usize) < self.classes);
        if rows != self.targets.len()
            || rows == 0
            || width != table_width
            || !in_range
            || self.classes > vocabulary
        {
            bail!(
                "{} targets over {} classes do not fit hidden states {rows} × {width} and a table {vocabulary} × {table_width}",
                self.targets.len(),
                self.classes
            );
        }
        let (loss, d_hidden, d_table) =
            self.run(slice(hidden, hidden_layout)?, slice(table, table_layout)?, width);
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = Some((d_hidden, d_table));
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
        let kept = self.gradients.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut d_hidden, mut d_table)) = kept else {
            bail!("a loss's backward pass follows one forward pass");
        };
        scale(&mut d_hidden, gradient.to_scalar()?);
        scale(&mut d_table, gradient.to_scalar()?);
        Ok((Some(tensor_like(d_hidden, hidden)?), Some(tensor_like(d_table, table)?)))
    }
}

/// Multiplies by the gradient of what came after, which is mostly 1.
#[expect(clippy::float_cmp, reason = "exactly 1 is the case that saves a pass")]
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        for value in values {
            *value *= factor;
        }
    }
}
