//! Softmax cross-entropy over a whole catalog, without ever holding the logits of a batch.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

use super::matrix::{Panels, Part, Precision, View, multiply_packed};
use super::pending::Pending;
use super::scratch::Scratch;
use super::simd::{exp, vectorised};
use super::sink::{Sink, leave};
use super::{norm, slice, tensor_like};
use crate::composite;

/// Hidden states whose logits exist at a time.
const ROWS: usize = 256;

/// The logits of a class lie this far apart: farther than `ROWS`, or those of many classes would
/// compete for the same places of the cache.
const STRIDE: usize = ROWS + 16;

/// The most lanes the catalog is divided into, and so the most threads that can help. Fixed, so
/// that sums over lanes do not depend on the machine.
const MAX_LANES: usize = 16;

/// The most classes whose logits are handled at a time: those of `ROWS` hidden states fill a quarter
/// of a megabyte.
const CLASSES: usize = 256;

/// The mean over rows, weighted or not, of −log softmax(h · Eᵀ) at the target, as an operation on the hidden states `h`
/// [rows, width] and the table `E` [at least classes, width]. Rows of `E` from `classes` on
/// (special tokens) are not classes.
///
/// The gradients are made with the loss, while the logits are at hand.
pub struct CatalogSoftmax {
    targets: Vec<u32>,
    /// How much each row counts, 1 on average; all alike where absent.
    weights: Option<Vec<f32>>,
    classes: usize,
    precision: Precision,
    sink: Option<Sink>,
    table_learns: bool,
    gradients: Pending<(Vec<f32>, Vec<f32>)>,
}

/// A part of the catalog that one task goes through.
struct Lane {
    tiles: Vec<Tile>,
    /// The part of the hidden states' gradient that this part of the catalog makes.
    d_hidden: Scratch,
    /// The hidden states, each scaled as a tile asks for.
    scaled: Scratch,
}

/// A few classes, and what they know of the hidden states at hand.
struct Tile {
    classes: Range<usize>,
    /// [classes, STRIDE]: the logits, then e to the logits less the row's largest of the tile.
    values: Scratch,
    largest: Vec<f32>,
    /// Σ e^(logit − largest).
    total: Vec<f32>,
    /// The target's logit, for the rows whose target is among these classes.
    of_target: Vec<f32>,
}

/// Some rows: their hidden states as they lie and packed, and their targets.
struct Rows<'a> {
    hidden: &'a [f32],
    transposed: Panels,
    targets: &'a [u32],
    shares: &'a [f32],
    width: usize,
}

/// Of each row the largest logit, log Σ e^logit, and its share over Σ e^(logit − largest).
struct Totals {
    largest: Vec<f32>,
    log_total: Vec<f32>,
    factor: Vec<f32>,
}

impl CatalogSoftmax {
    /// The loss for one target class a row.
    pub fn new(targets: Vec<u32>, classes: usize) -> Self {
        Self {
            targets,
            weights: None,
            classes,
            precision: Precision::F32,
            sink: None,
            table_learns: true,
            gradients: Pending::default(),
        }
    }

    /// Counts each row by its weight, as far as there are weights: none below 0, one above.
    #[must_use]
    pub fn weights(self, weights: Option<Vec<f32>>) -> Self {
        let normalised = |weights: Vec<f32>| {
            let mean = weights.iter().sum::<f32>() / weights.len() as f32;
            weights.into_iter().map(|weight| weight / mean).collect()
        };
        Self { weights: weights.map(normalised), ..self }
    }

    /// Rounds the factors of the products to `precision`.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Leaves the gradient of the table in `sink`.
    #[must_use]
    pub fn sink(self, sink: Sink) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// The loss, differentiable. A table that does not learn costs no gradient.
    pub fn apply(mut self, hidden: &Tensor, table: &Tensor) -> Result<Tensor> {
        if hidden.device().is_cpu() {
            self.table_learns = table.track_op();
            return hidden.apply_op2(table, self);
        }
        let weights = self.weights.as_deref();
        composite::catalog_softmax(hidden, table, (&self.targets, weights), self.classes)
    }

    fn run(&self, hidden: &[f32], table: &[f32], width: usize) -> (f64, Vec<f32>, Vec<f32>) {
        let mut d_hidden = vec![0.0; hidden.len()];
        let mut d_table = vec![0.0; if self.table_learns { table.len() } else { 0 }];
        let (mut lanes, a_lane) = lanes(self.classes, width);
        let (shares, mut loss) = (self.shares(), 0.0);
        let pieces = hidden.chunks(ROWS * width).zip(d_hidden.chunks_mut(ROWS * width));
        let targets = self.targets.chunks(ROWS).zip(shares.chunks(ROWS));
        for ((hidden, d_hidden), (targets, shares)) in pieces.zip(targets) {
            let transposed = View::rows(hidden, width).transposed();
            let transposed = Panels::new(self.precision, transposed, (width, targets.len()));
            let rows = Rows { hidden, transposed, targets, shares, width };
            lanes.par_iter_mut().for_each(|lane| logits(lane, &rows, table));
            let totals = totals(&rows, &lanes);
            loss += rows.loss(&lanes, &totals);
            let of_classes = d_table.len().min(self.classes * width);
            let mut d_tables = d_table[..of_classes].chunks_mut(a_lane * width);
            let d_tables: Vec<_> =
                lanes.iter().map(|_| d_tables.next().unwrap_or_default()).collect();
            lanes.par_iter_mut().zip(d_tables).for_each(|(lane, d_table)| {
                backward(lane, &rows, &totals, table, d_table);
            });
            rows.gather(&lanes, table, d_hidden);
            if self.table_learns {
                rows.take_targets(&mut d_table);
            }
        }
        (loss, d_hidden, d_table)
    }

    /// The share that each row has of the mean.
    fn shares(&self) -> Vec<f32> {
        let n = self.targets.len();
        match &self.weights {
            Some(weights) => weights.iter().map(|weight| weight / n as f32).collect(),
            None => vec![1.0 / n as f32; n],
        }
    }
}

vectorised! {
    fn logits<'a>(lane: &'a mut Lane, rows: &'a Rows<'a>, table: &'a [f32]) -> () = Lane::logits;
}

vectorised! {
    fn totals<'a>(rows: &'a Rows<'a>, lanes: &'a [Lane]) -> Totals = Rows::totals;
}

vectorised! {
    fn backward<'a>(
        lane: &'a mut Lane,
        rows: &'a Rows<'a>,
        totals: &'a Totals,
        table: &'a [f32],
        d_table: &'a mut [f32],
    ) -> () = Lane::backward;
}

/// Divides a catalog; also says how many classes a lane has.
fn lanes(classes: usize, width: usize) -> (Vec<Lane>, usize) {
    let a_lane = classes.div_ceil(MAX_LANES).max(1);
    let a_tile = a_lane.div_ceil(a_lane.div_ceil(CLASSES));
    let tile = |start: usize, end: usize| Tile {
        classes: start..end.min(start + a_tile),
        values: Scratch::new((end.min(start + a_tile) - start) * STRIDE),
        largest: vec![],
        total: vec![],
        of_target: vec![],
    };
    let lane = |start: usize| {
        let end = classes.min(start + a_lane);
        let tiles = (start..end).step_by(a_tile).map(|start| tile(start, end)).collect();
        Lane { tiles, d_hidden: Scratch::new(ROWS * width), scaled: Scratch::new(ROWS * width) }
    };
    ((0..classes).step_by(a_lane).map(lane).collect(), a_lane)
}

impl Rows<'_> {
    /// What all lanes together know of each row.
    #[inline(always)]
    fn totals(&self, lanes: &[Lane]) -> Totals {
        let n = self.targets.len();
        let (mut largest, mut factor) = (vec![f32::NEG_INFINITY; n], vec![0.0; n]);
        for tile in lanes.iter().flat_map(|lane| &lane.tiles) {
            for (largest, &value) in largest.iter_mut().zip(&tile.largest) {
                *largest = if value > *largest { value } else { *largest };
            }
        }
        for tile in lanes.iter().flat_map(|lane| &lane.tiles) {
            for row in 0..n {
                factor[row] += tile.total[row] * exp(tile.largest[row] - largest[row]);
            }
        }
        let log_total = largest.iter().zip(&factor).map(|(largest, total)| total.ln() + largest);
        let log_total = log_total.collect();
        for (factor, share) in factor.iter_mut().zip(self.shares) {
            *factor = share / *factor;
        }
        Totals { largest, log_total, factor }
    }

    /// Σ −log softmax at the target, each row by its share.
    fn loss(&self, lanes: &[Lane], totals: &Totals) -> f64 {
        let tiles: Vec<&Tile> = lanes.iter().flat_map(|lane| &lane.tiles).collect();
        let loss = |(row, &target): (usize, &u32)| {
            let tile = tiles.partition_point(|tile| tile.classes.end <= target as usize);
            let loss = totals.log_total[row] - tiles[tile].of_target[row];
            f64::from(self.shares[row]) * f64::from(loss)
        };
        self.targets.iter().enumerate().map(loss).sum()
    }

    /// The gradient of the hidden states: what the lanes have made of all classes, less the
    /// targets' own part.
    fn gather(&self, lanes: &[Lane], table: &[f32], d_hidden: &mut [f32]) {
        const PIECE: usize = 32;
        let width = self.width;
        let targets = self.targets.par_chunks(PIECE).zip(self.shares.par_chunks(PIECE));
        let pieces = d_hidden.par_chunks_mut(PIECE * width).zip(targets);
        pieces.enumerate().for_each(|(piece, (d_hidden, (targets, shares)))| {
            let start = piece * PIECE * width;
            for lane in lanes {
                let of_lane = &lane.d_hidden[start..start + d_hidden.len()];
                norm::add_all(d_hidden, of_lane);
            }
            let rows = d_hidden.chunks_exact_mut(width).zip(targets).zip(shares);
            for ((d_hidden, &target), share) in rows {
                add_scaled(d_hidden, -share, &table[target as usize * width..][..width]);
            }
        });
    }

    /// The targets' own part of the table's gradient.
    fn take_targets(&self, d_table: &mut [f32]) {
        let rows = self.hidden.chunks_exact(self.width).zip(self.targets).zip(self.shares);
        for ((hidden, &target), share) in rows {
            add_scaled(&mut d_table[target as usize * self.width..][..self.width], -share, hidden);
        }
    }
}

impl Lane {
    #[inline(always)]
    fn logits(&mut self, rows: &Rows<'_>, table: &[f32]) {
        for tile in &mut self.tiles {
            tile.logits(rows, table);
        }
    }

    /// Fills the lane's `d_hidden` and adds to `d_table`, the lane's part of that gradient, unless
    /// that is empty.
    #[inline(always)]
    fn backward(
        &mut self,
        rows: &Rows<'_>,
        totals: &Totals,
        table: &[f32],
        mut d_table: &mut [f32],
    ) {
        let Self { tiles, d_hidden, scaled } = self;
        let n = rows.hidden.len();
        let (d_hidden, scaled) = (&mut d_hidden[..n], &mut scaled[..n]);
        d_hidden.fill(0.0);
        for tile in tiles {
            let n = d_table.len().min(tile.classes.len() * rows.width);
            let (piece, rest) = d_table.split_at_mut(n);
            d_table = rest;
            tile.backward((rows, totals), table, scaled, d_hidden, piece);
        }
    }
}

impl Tile {
    #[inline(always)]
    fn logits(&mut self, rows: &Rows<'_>, table: &[f32]) {
        let (n, width, classes) = (rows.targets.len(), rows.width, self.classes.clone());
        let table = View::rows(&table[classes.start * width..classes.end * width], width);
        let values = (&mut self.values[..], STRIDE, false);
        multiply_packed(values, classes.len(), table, &rows.transposed);
        for (all, first) in [
            (&mut self.largest, f32::NEG_INFINITY),
            (&mut self.total, 0.0),
            (&mut self.of_target, 0.0),
        ] {
            all.clear();
            all.resize(n, first);
        }
        for values in self.values.chunks_exact(STRIDE) {
            for (largest, &value) in self.largest.iter_mut().zip(values) {
                *largest = if value > *largest { value } else { *largest };
            }
        }
        for (row, &target) in rows.targets.iter().enumerate() {
            if classes.contains(&(target as usize)) {
                self.of_target[row] = self.values[(target as usize - classes.start) * STRIDE + row];
            }
        }
        for values in self.values.chunks_exact_mut(STRIDE) {
            let known = self.largest.iter().zip(&mut self.total);
            for (value, (largest, total)) in values.iter_mut().zip(known) {
                *value = exp(*value - largest);
                *total += *value;
            }
        }
    }

    #[inline(always)]
    fn backward(
        &mut self,
        (rows, totals): (&Rows<'_>, &Totals),
        table: &[f32],
        scaled: &mut [f32],
        d_hidden: &mut [f32],
        d_table: &mut [f32],
    ) {
        let (n, width, classes) = (rows.targets.len(), rows.width, self.classes.clone());
        let precision = rows.transposed.precision();
        // From here on `largest` is what turns a row's values into its gradient.
        let known = totals.largest.iter().zip(&totals.factor);
        for (own, (largest, factor)) in self.largest.iter_mut().zip(known) {
            *own = exp(*own - largest) * factor;
        }
        let values = View::rows(&self.values, STRIDE);
        if !d_table.is_empty() {
            let rows = rows.hidden.chunks_exact(width).zip(scaled.chunks_exact_mut(width));
            for ((hidden, scaled), factor) in rows.zip(&self.largest) {
                for (scaled, hidden) in scaled.iter_mut().zip(hidden) {
                    *scaled = hidden * factor;
                }
            }
            let shape = (classes.len(), width, n);
            precision.multiply_add((d_table, width), shape, values, View::rows(scaled, width));
        }
        let table = View::rows(&table[classes.start * width..classes.end * width], width);
        let (shape, values) = ((n, width, classes.len()), values.transposed());
        precision.multiply(Part::Whole, (scaled, width), shape, values, table);
        let rows = d_hidden.chunks_exact_mut(width).zip(scaled.chunks_exact(width));
        for ((d_hidden, scaled), factor) in rows.zip(&self.largest) {
            add_scaled(d_hidden, *factor, scaled);
        }
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
        scale(&mut d_table, gradient.to_scalar()?);
        let d_table =
            if table.track_op() { leave(self.sink.as_ref(), d_table, table)? } else { None };
        Ok((Some(tensor_like(d_hidden, hidden)?), d_table))
    }
}

/// Multiplies by the gradient of what came after, which is mostly 1.
#[expect(clippy::float_cmp, reason = "exactly 1 is the case that saves a pass")]
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    const PIECE: usize = 1 << 14;
    if factor != 1.0 {
        values.par_chunks_mut(PIECE).for_each(|values| {
            for value in values {
                *value *= factor;
            }
        });
    }
}

/// `out += factor · values`.
#[inline(always)]
pub(super) fn add_scaled(out: &mut [f32], factor: f32, values: &[f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += factor * value;
    }
}
