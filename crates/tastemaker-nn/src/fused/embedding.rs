//! Embeddings of tokens and their positions.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::block::drop_all;
use super::simd::{Dropout, vectorised};
use super::{Lanes, RowGradients, RowSink, norm, slice, tensor_like, with_slice};
use crate::composite;

/// Tokens a task embeds.
const ROWS: usize = 512;

/// `dropout(table[token] + positions[place])` as an operation on the tables `table`
/// [vocabulary, width] and `positions` [longest, width]; the result is [tokens, width].
///
/// The gradient of `table` is of the rows that occur. It goes to a sink where there is one, and
/// else, as that of the whole table, to the tensor library.
pub struct Embedding {
    tokens: Arc<[u32]>,
    places: Vec<u32>,
    dropout: Dropout,
    sink: Option<RowSink>,
}

impl Embedding {
    /// Embeds `tokens`, packed as `lanes` says.
    pub fn new(tokens: Arc<[u32]>, lanes: &Lanes, dropout: Dropout) -> Self {
        Self { tokens, places: lanes.positions(), dropout, sink: None }
    }

    /// Embeds the tokens at these places instead of at those where they stand.
    #[must_use]
    pub fn places(self, places: Vec<u32>) -> Self {
        Self { places, ..self }
    }

    /// Leaves the gradient of the table's rows in `sink`.
    #[must_use]
    pub fn sink(self, sink: RowSink) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// The embeddings, differentiable.
    pub fn apply(self, table: &Tensor, positions: &Tensor) -> Result<Tensor> {
        if table.device().is_cpu() {
            return table.apply_op2(positions, self);
        }
        composite::embedding(table, positions, (&self.tokens, &self.places), self.dropout)
    }

    /// The embeddings, [tokens, width] in rows.
    pub(crate) fn run(&self, table: &[f32], positions: &[f32], width: usize) -> Result<Vec<f32>> {
        let fits = |ids: &[u32], n: usize| ids.iter().all(|&id| (id as usize) < n);
        if self.tokens.len() != self.places.len()
            || !fits(&self.tokens, table.len() / width)
            || !fits(&self.places, positions.len() / width)
        {
            bail!("a token or a position lies outside its embedding table");
        }
        let mut out = vec![0.0; self.tokens.len() * width];
        let rows = self.tokens.par_chunks(ROWS).zip(self.places.par_chunks(ROWS));
        out.par_chunks_mut(ROWS * width).zip(rows).enumerate().for_each(
            |(task, (out, (tokens, places)))| {
                let ids = (tokens, places);
                embed_all((table, positions), width, ids, out);
                drop_all(self.dropout, task * ROWS * width, out);
            },
        );
        Ok(out)
    }
}

vectorised! {
    fn embed_all<'a>(
        tables: (&'a [f32], &'a [f32]),
        width: usize,
        ids: (&'a [u32], &'a [u32]),
        out: &'a mut [f32],
    ) -> () = embed;
}

/// Rows of `table` and of `positions`, added.
#[inline(always)]
fn embed(
    (table, positions): (&[f32], &[f32]),
    width: usize,
    (tokens, places): (&[u32], &[u32]),
    out: &mut [f32],
) {
    for ((out, &token), &place) in out.chunks_exact_mut(width).zip(tokens).zip(places) {
        out.copy_from_slice(&table[token as usize * width..][..width]);
        norm::add(out, &positions[place as usize * width..][..width]);
    }
}

impl CustomOp2 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        positions: &CpuStorage,
        positions_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = table_layout.dims()[1];
        let out =
            self.run(slice(table, table_layout)?, slice(positions, positions_layout)?, width)?;
        Ok((CpuStorage::F32(out), Shape::from((self.tokens.len(), width))))
    }

    fn bwd(
        &self,
        table: &Tensor,
        positions: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = table.dim(1)?;
        let mut gradient = with_slice(gradient, |gradient| Ok(gradient.to_vec()))?;
        gradient.par_chunks_mut(ROWS * width).enumerate().for_each(|(task, values)| {
            drop_all(self.dropout, task * ROWS * width, values);
        });
        let gather = |into: &Tensor, rows: &[u32]| -> Result<RowGradients> {
            Ok(RowGradients::gather(into.dim(0)?, width, rows, |entry, out| {
                norm::add(out, &gradient[entry * width..][..width]);
            }))
        };
        let dense = |into: &Tensor, rows: &[u32]| {
            tensor_like(gather(into, rows)?.into_dense(into.elem_count()), into)
        };
        let of_positions =
            positions.track_op().then(|| dense(positions, &self.places)).transpose()?;
        let of_table = match &self.sink {
            _ if !table.track_op() => None,
            Some(sink) => {
                sink.add(gather(table, &self.tokens)?);
                None
            }
            None => Some(dense(table, &self.tokens)?),
        };
        Ok((of_table, of_positions))
    }
}
