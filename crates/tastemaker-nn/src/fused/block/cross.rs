//! The half of a block that looks at an encoder's states.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{Block, BlockWeights};
use crate::fused::attention::{Heads, softmax, softmax_backward};
use crate::fused::lanes::Chunk;
use crate::fused::linear::{linear, linear_backward};
use crate::fused::matrix::{Part, View};
use crate::fused::scratch::Scratch;
use crate::fused::simd::{dot, vectorised};
use crate::fused::{norm, slice, tensor_like, with_slice};

/// Where this half's parameters stand among a block's: its norm, and from there on the matrices of
/// queries, of keys and values and of the output, each with its bias.
pub(super) const PARAMETERS: Range<usize> = 13..21;

/// The norm's weight among them.
const NORM: usize = 13;
/// The queries' matrix, among the parameters and among the matrices.
const QUERY: (usize, usize) = (15, 4);
/// That of keys and values.
const KV: (usize, usize) = (17, 5);
/// That of the output.
const OUT: (usize, usize) = (19, 6);

/// The site of this half's dropout.
const SITE: u32 = 2;

/// What the backward pass needs of a chunk's forward pass, and the states after it.
pub(super) struct Crossed {
    stats: Vec<[f32; 2]>,
    normal: Scratch,
    query: Scratch,
    kv: Scratch,
    weights: Scratch,
    attended: Scratch,
    pub(super) out: Scratch,
}

impl Crossed {
    pub(super) fn new(block: &Block, chunk: &Chunk) -> Self {
        let (d, t) = (block.shape.width, chunk.tokens.len());
        // Keys and values of what was read before are there already.
        let (states, pairs) = match &block.past {
            Some(past) => (0, t * past.most_states(chunk)),
            None => (
                block.read(chunk).len(),
                block.readings(chunk).map(|place| place.own.len() * place.read.len()).sum(),
            ),
        };
        Self {
            stats: vec![[0.0; 2]; t],
            normal: Scratch::new(t * d),
            query: Scratch::new(t * d),
            kv: Scratch::new(states * 2 * d),
            weights: Scratch::new(block.shape.heads * pairs),
            attended: Scratch::new(t * d),
            out: Scratch::new(t * d),
        }
    }

    /// Of the encoder's states: [states, 2 width].
    pub(super) fn keys_and_values(&self) -> &[f32] {
        &self.kv
    }
}

vectorised! {
    pub(super) fn forward<'a>(
        block: &'a Block,
        weights: &'a BlockWeights,
        chunk: &'a Chunk,
        states: (&'a [f32], &'a [f32]),
        crossed: &'a mut Crossed,
    ) -> () = Block::cross;
}

vectorised! {
    pub(super) fn backward<'a>(
        block: &'a Block,
        weights: &'a BlockWeights,
        kept: (&'a Chunk, &'a [f32], &'a Crossed),
        memory: &'a [f32],
        into: (&'a mut [f32], bool, Option<&'a mut [f32]>),
        sum: (Option<&'a mut [f32]>, bool),
    ) -> () = Block::cross_backward;
}

/// Where a sequence stands in a chunk: its tokens, the encoder's states of it and its weights.
struct Place {
    own: Range<usize>,
    read: Range<usize>,
    weights: Range<usize>,
}

impl Block {
    pub(super) fn check_memory(&self, memory: &[f32]) -> Result<()> {
        let width = self.shape.width;
        match &self.memory {
            None if self.shape.reads && self.past.is_none() => {
                bail!("a block that reads got no encoder's states")
            }
            Some(_) if !self.shape.reads => bail!("a block that reads nothing got states to read"),
            Some(lanes) if lanes.lengths().len() != self.lanes.lengths().len() => bail!(
                "a block of {} sequences reads the states of {}",
                self.lanes.lengths().len(),
                lanes.lengths().len()
            ),
            Some(lanes) if memory.len() != lanes.n_tokens() * width => {
                bail!("{} states × {width} to read are {} numbers", lanes.n_tokens(), memory.len())
            }
            None | Some(_) => Ok(()),
        }
    }

    /// The block over `x` and the encoder's states `memory` [tokens, width], differentiable. Where
    /// nothing learns, nothing is kept.
    pub fn apply_reading(
        mut self,
        x: &Tensor,
        memory: &Tensor,
        weights: &Tensor,
    ) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.composite((x, Some(memory)), weights);
        }
        self.recompute |= !(x.track_op() || memory.track_op() || weights.track_op());
        x.apply_op3(memory, weights, self)
    }

    /// The encoder's states that a chunk reads: their rows.
    fn read(&self, chunk: &Chunk) -> Range<usize> {
        self.memory.as_ref().map_or(0..0, |memory| memory.rows(chunk.sequences.clone()))
    }

    /// The gradient of the encoder's states, or nothing, cut into one piece a lane.
    pub(super) fn split_memory<'a>(&self, d_memory: &'a mut [f32]) -> Vec<&'a mut [f32]> {
        let (is_there, mut rest) = (!d_memory.is_empty(), d_memory);
        let mut pieces = Vec::new();
        for lane in self.lanes.lanes() {
            let rows: usize = lane.iter().map(|chunk| self.read(chunk).len()).sum();
            let n = if is_there { rows * self.shape.width } else { 0 };
            let (piece, after) = rest.split_at_mut(n);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }

    /// The part of a lane's `d_memory`, from this chunk on, that is the chunk's, and what follows.
    pub(super) fn split_of_chunk<'a>(
        &self,
        chunk: &Chunk,
        d_memory: &'a mut [f32],
    ) -> (&'a mut [f32], &'a mut [f32]) {
        let n = if d_memory.is_empty() { 0 } else { self.read(chunk).len() * self.shape.width };
        d_memory.split_at_mut(n)
    }

    /// Every sequence's place in the chunk, to be gone through as [`Block::sequences`].
    fn readings(&self, chunk: &Chunk) -> impl Iterator<Item = Place> {
        let (mut own, mut read, mut weight) = (0, 0, 0);
        let both = self.memory.iter().flat_map(|memory| {
            chunk.sequences.clone().map(|i| (self.lanes.lengths()[i], memory.lengths()[i]))
        });
        both.map(move |(n, m)| {
            let first = (own, read, weight);
            (own, read, weight) = (own + n, read + m, weight + self.shape.heads * n * m);
            Place { own: first.0..own, read: first.1..read, weights: first.2..weight }
        })
    }

    /// `out = middle + dropout(W_o attention(W_q norm(middle), W_kv memory))`, of a chunk.
    #[inline(always)]
    fn cross(
        &self,
        weights: &BlockWeights,
        chunk: &Chunk,
        (middle, memory): (&[f32], &[f32]),
        kept: &mut Crossed,
    ) {
        let (d, t, part) = (self.shape.width, chunk.tokens.len(), &weights.part);
        let norms = self.shape.style.norms(&part[NORM], &part[NORM + 1]);
        norms.apply(middle, &mut kept.normal, &mut kept.stats);
        linear(&kept.normal, weights.linear(QUERY.1), t, &mut kept.query);
        if let Some(past) = &self.past {
            let rows = (&kept.query[..], &mut kept.weights[..], &mut kept.attended[..]);
            self.cross_past(past, weights, chunk, rows);
        } else {
            let read = self.read(chunk);
            let memory = &memory[read.start * d..read.end * d];
            linear(memory, weights.linear(KV.1), read.len(), &mut kept.kv);
            for Place { own, read, weights: pairs } in self.readings(chunk) {
                self.heads(weights).across(
                    (own.len(), read.len()),
                    (&kept.query[own.start * d..own.end * d], &kept.kv[read.start * 2 * d..]),
                    &mut kept.weights[pairs],
                    &mut kept.attended[own.start * d..own.end * d],
                );
            }
        }
        linear(&kept.attended, weights.linear(OUT.1), t, &mut kept.out);
        self.drop_and_add(SITE, chunk, &mut kept.out, middle);
    }

    /// From the gradient of [`Block::cross`]'s result, in `dx`, to that of `middle`, if something
    /// `below` learns, and to that of the encoder's states, written to `d_memory`, if that is there.
    #[inline(always)]
    fn cross_backward(
        &self,
        weights: &BlockWeights,
        (chunk, middle, kept): (&Chunk, &[f32], &Crossed),
        memory: &[f32],
        (dx, below, d_memory): (&mut [f32], bool, Option<&mut [f32]>),
        (mut sum, add): (Option<&mut [f32]>, bool),
    ) {
        let (d, t, read) = (self.shape.width, chunk.tokens.len(), self.read(chunk));
        let memory = &memory[read.start * d..read.end * d];
        let learns = |range: Range<usize>| self.learns[range].contains(&true);
        let [mut narrow, mut after] = [Scratch::new(t * d), Scratch::new(t * d)];
        after.copy_from_slice(dx);
        self.drop(SITE, chunk, &mut after);
        let (of_query, of_kv) =
            (below || learns(NORM..KV.0), d_memory.is_some() || learns(KV.0..OUT.0));
        linear_backward(
            (&kept.attended, &after),
            &weights.matrices[OUT.1],
            (t, d),
            (of_query || of_kv).then_some(&mut narrow),
            self.pair(&mut sum, OUT.0),
            add,
        );
        if !(of_query || of_kv) {
            return;
        }
        let mut d_kv = Scratch::new(read.len() * 2 * d);
        self.across_backward(weights, (chunk, kept), &narrow, (&mut after, &mut d_kv));
        linear_backward(
            (memory, &d_kv),
            &weights.matrices[KV.1],
            (read.len(), 2 * d),
            d_memory,
            self.pair(&mut sum, KV.0),
            add,
        );
        let of_norm = below || learns(NORM..QUERY.0);
        linear_backward(
            (&kept.normal, &after),
            &weights.matrices[QUERY.1],
            (t, d),
            of_norm.then_some(&mut narrow),
            self.pair(&mut sum, QUERY.0),
            add,
        );
        if of_norm {
            norm::styled_backward(
                self.shape.style.norm,
                (middle, &kept.stats),
                &weights.part[NORM],
                &narrow,
                below.then_some(dx),
                self.pair(&mut sum, NORM),
            );
        }
    }

    /// From the gradient of what was attended to, those of queries and of keys and values.
    #[inline(always)]
    fn across_backward(
        &self,
        weights: &BlockWeights,
        (chunk, kept): (&Chunk, &Crossed),
        d_out: &[f32],
        (d_query, d_kv): (&mut [f32], &mut [f32]),
    ) {
        let d = self.shape.width;
        let largest = self.readings(chunk).map(|place| place.own.len() * place.read.len()).max();
        let mut scratch = Scratch::new(largest.unwrap_or_default());
        for Place { own, read, weights: pairs } in self.readings(chunk) {
            let (rows, keys) = (own.start * d..own.end * d, read.start * 2 * d..read.end * 2 * d);
            self.heads(weights).across_backward(
                (own.len(), read.len()),
                (&kept.query[rows.clone()], &kept.kv[keys.clone()], &kept.weights[pairs]),
                (&kept.attended[rows.clone()], &d_out[rows.clone()]),
                (&mut d_query[rows], &mut d_kv[keys]),
                &mut scratch,
            );
        }
    }
}

impl Heads {
    /// Attention of `n` tokens to `m` others: `query` [n, width] and `kv` [m, 2 width] → `out`
    /// [n, width]; what each token looks at goes to `weights` [heads, n, m].
    #[inline(always)]
    pub(super) fn across(
        self,
        (n, m): (usize, usize),
        (query, kv): (&[f32], &[f32]),
        weights: &mut [f32],
        out: &mut [f32],
    ) {
        let (d, size, precision) = (self.width, self.size(), self.precision);
        for (head, weights) in weights.chunks_exact_mut(n * m).enumerate() {
            let q = View::rows(&query[head * size..], d);
            let [k, v] = [0, d].map(|part| View::rows(&kv[part + head * size..], 2 * d));
            precision.multiply(Part::Whole, (weights, m), (n, m, size), q, k.transposed());
            for row in weights.chunks_exact_mut(m) {
                softmax(row, self.scale());
            }
            let weights = View::rows(weights, m);
            precision.multiply(Part::Whole, (&mut out[head * size..], d), (n, size, m), weights, v);
        }
    }

    /// The gradients of [`Heads::across`] with respect to `query` and `kv`, written to `d_query` and
    /// `d_kv`; `scratch` holds one head's weights.
    #[inline(always)]
    fn across_backward(
        self,
        (n, m): (usize, usize),
        (query, kv, weights): (&[f32], &[f32], &[f32]),
        (out, d_out): (&[f32], &[f32]),
        (d_query, d_kv): (&mut [f32], &mut [f32]),
        scratch: &mut [f32],
    ) {
        let (d, size, precision) = (self.width, self.size(), self.precision);
        let scratch = &mut scratch[..n * m];
        for (head, weights) in weights.chunks_exact(n * m).enumerate() {
            let q = View::rows(&query[head * size..], d);
            let [k, v] = [0, d].map(|part| View::rows(&kv[part + head * size..], 2 * d));
            let d_head = View::rows(&d_out[head * size..], d);
            precision.multiply(Part::Whole, (scratch, m), (n, m, size), d_head, v.transposed());
            let rows = scratch.chunks_exact_mut(m).zip(weights.chunks_exact(m));
            for (row, (d_weights, weights)) in rows.enumerate() {
                let at = row * d + head * size..row * d + (head + 1) * size;
                let common = dot(&d_out[at.clone()], &out[at]);
                softmax_backward(d_weights, weights, common, self.scale());
            }
            let d_scores = View::rows(scratch, m);
            let weights = View::rows(weights, m).transposed();
            let d_q = (&mut d_query[head * size..], d);
            precision.multiply(Part::Whole, d_q, (n, size, m), d_scores, k);
            let d_k = (&mut d_kv[head * size..], 2 * d);
            precision.multiply(Part::Whole, d_k, (m, size, n), d_scores.transposed(), q);
            let d_v = (&mut d_kv[d + head * size..], 2 * d);
            precision.multiply(Part::Whole, d_v, (m, size, n), weights, d_head);
        }
    }
}

impl CustomOp3 for Block {
    fn name(&self) -> &'static str {
        "transformer-block-reading"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        memory: &CpuStorage,
        memory_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let states = (slice(x, x_layout)?, slice(memory, memory_layout)?);
        let y = self.first_pass(states, slice(weights, weights_layout)?)?;
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        memory: &Tensor,
        weights: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let learns = [x, memory, weights].map(Tensor::track_op);
        let [dx, d_memory, d_weights] = with_slice(x, |x| {
            with_slice(memory, |memory| {
                with_slice(weights, |values| {
                    with_slice(gradient, |dy| self.gradients(((x, memory), values), dy, learns))
                })
            })
        })?;
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|values| tensor_like(values, like)).transpose()
        };
        Ok((tensor(dx, x)?, tensor(d_memory, memory)?, self.leave(d_weights, weights)?))
    }
}
