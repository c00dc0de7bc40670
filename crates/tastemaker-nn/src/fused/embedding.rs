//! Embeddings of tokens and their positions.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::block::drop_at;
use super::simd::{Dropout, simd};
use super::{Lanes, norm, slice, tensor_like, with_slice};

/// Rows of a table that one task adds to.
const ROWS: usize = 512;

/// `dropout(table[token] + positions[place])` as an operation on the tables `table`
/// [vocabulary, width] and `positions` [longest, width]; the result is [tokens, width].
pub struct Embedding {
    tokens: Arc<[u32]>,
    places: Vec<u32>,
    dropout: Dropout,
}

impl Embedding {
    /// Embeds `tokens`, packed as `lanes` says.
    pub fn new(tokens: Arc<[u32]>, lanes: &Lanes, dropout: Dropout) -> Self {
        Self { tokens, places: lanes.positions(), dropout }
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
                simd(embed, ((table, positions), width, ids, &mut *out));
                simd(drop_at, (self.dropout, task * ROWS * width, out));
            },
        );
        Ok(out)
    }
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
            simd(drop_at, (self.dropout, task * ROWS * width, values));
        });
        let scatter = |into: &Tensor, rows: &[u32]| -> Result<Option<Tensor>> {
            if !into.track_op() {
                return Ok(None);
            }
            let mut sum = vec![0.0; into.elem_count()];
            scatter_add(&mut sum, width, rows, |entry, out| {
                norm::add(out, &gradient[entry * width..][..width]);
            });
            Ok(Some(tensor_like(sum, into)?))
        };
        Ok((scatter(table, &self.tokens)?, scatter(positions, &self.places)?))
    }
}

/// For every entry of `rows` calls `add(entry, row)` with that row of `table`; a row's entries
/// come in order, whatever the number of threads.
pub fn scatter_add(
    table: &mut [f32],
    width: usize,
    rows: &[u32],
    add: impl Fn(usize, &mut [f32]) + Sync,
) {
    // Entries are put in order of their row first (a counting sort), so that every task finds its
    // own without a look at the others'.
    let n_rows = table.len() / width;
    let mut ends = vec![0_usize; n_rows + 1];
    for &row in rows {
        ends[row as usize + 1] += 1;
    }
    for row in 0..n_rows {
        ends[row + 1] += ends[row];
    }
    let mut next = ends.clone();
    let mut entries = vec![0_u32; rows.len()];
    for (entry, &row) in (0..).zip(rows) {
        entries[next[row as usize]] = entry;
        next[row as usize] += 1;
    }
    table.par_chunks_mut(ROWS * width).enumerate().for_each(|(task, table)| {
        let ends = &ends[task * ROWS..];
        simd(add_entries, (table, width, ends, &entries[..], &add));
    });
}

/// Adds every row's own entries to it.
#[inline(always)]
fn add_entries(
    table: &mut [f32],
    width: usize,
    ends: &[usize],
    entries: &[u32],
    add: &impl Fn(usize, &mut [f32]),
) {
    for (out, ends) in table.chunks_exact_mut(width).zip(ends.windows(2)) {
        for &entry in &entries[ends[0]..ends[1]] {
            add(entry as usize, out);
        }
    }
}
