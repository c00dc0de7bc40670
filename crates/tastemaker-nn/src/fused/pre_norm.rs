//! A causal pre-norm transformer block that answers and does not learn, with the keys and values of
//! what was read before.

use rayon::prelude::*;

use super::Norm;
use super::linear::{Pass, linear};
use super::matrix::{Panels, Part, Precision, View};
use super::norm::{self, Norms};
use super::quantised::{FEW, Matrix, Quantised, multiply_quantised};
use super::rotary::Rotation;
use super::scratch::Scratch;
use super::simd::{exp, gelu_by_tanh, max, sum, vectorised};

/// The numbers that fix the weights of a [`PreNormBlock`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreNormShape {
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads of the queries.
    pub heads: usize,
    /// Heads of keys and values, each for as many heads of queries that follow each other.
    pub key_heads: usize,
    /// Numbers of a head.
    pub size: usize,
    /// Width of the feed-forward layer.
    pub inner: usize,
    /// What its norms add to the mean square, or to the variance.
    pub epsilon: f32,
    /// How states are normalised.
    pub norm: Norm,
    /// What stands between the matrices of the feed-forward layer.
    pub active: Active,
}

/// What stands between the matrices of a feed-forward layer that answers: rows of a, or of a and then
/// b.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Active {
    /// silu(a) · b (Shazeer 2020), as `LLaMA`.
    #[default]
    SiluGated,
    /// gelu(a) · b, as Gemma, with x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))) for gelu.
    GeluGated,
    /// That gelu(a) alone, as GPT-2.
    Gelu,
}

impl Active {
    /// How many times as wide as the layer is what comes out of its first matrix.
    fn times(self) -> usize {
        if self == Self::Gelu { 1 } else { 2 }
    }
}

impl PreNormShape {
    /// Numbers of the queries of a token.
    pub fn queries(&self) -> usize {
        self.heads * self.size
    }

    /// Numbers of the keys of a token, and of its values.
    pub fn keys(&self) -> usize {
        self.key_heads * self.size
    }

    fn row(&self) -> usize {
        self.queries() + 2 * self.keys()
    }
}

/// A matrix and a bias.
pub type WithBias = (Matrix, Vec<f32>);

/// The weights of a [`PreNormBlock`]: matrices are [outputs, inputs] in rows.
#[derive(Clone, Debug, Default)]
pub struct PreNormWeights {
    /// Queries, keys and values, one after the other.
    pub qkv: WithBias,
    /// Out of attention: [width, queries].
    pub out: WithBias,
    /// Scale and shift of the norm before attention; root-mean-square norms shift nothing.
    pub attention_norm: Affine,
    /// Into the feed-forward layer, what is active and then what that is multiplied with, if anything:
    /// [2 inner, width] or [inner, width].
    pub into: WithBias,
    /// Out of it: [width, inner].
    pub out_of: WithBias,
    /// Scale and shift of the norm before it.
    pub feed_forward_norm: Affine,
    /// What else there is.
    pub more: More,
}

/// Scale and shift of a norm.
pub type Affine = (Vec<f32>, Vec<f32>);

/// What blocks of some families have beside those of `LLaMA`.
#[derive(Clone, Debug, Default)]
pub struct More {
    /// Scales of root-mean-square norms of each head of queries, and of keys, before they are turned
    /// (`Qwen3`, Gemma 3).
    pub head_norms: Option<[Vec<f32>; 2]>,
    /// Scales of root-mean-square norms of what attention, and the feed-forward layer, add (Gemma).
    pub after_norms: Option<[Vec<f32>; 2]>,
    /// Which of the model's rotations turns queries and keys, if any.
    pub rotation: Option<usize>,
    /// The tokens, itself among them, that a token sees of its end; all where absent.
    pub window: Option<usize>,
}

/// The block of `LLaMA` (Touvron et al. 2023), with a root-mean-square norm before each part,
/// rotated queries and keys, grouped heads of keys and values (Ainslie et al. 2023) and a gated
/// feed-forward layer:
///
/// `m = x + W_o attention(W_qkv norm(x))`, `y = m + W_2 (silu(W_a norm(m)) · W_b norm(m))`.
///
/// With what its shape and [`More`] say it is that of GPT-2 (Radford et al. 2019), of `Qwen3` (Yang et
/// al. 2025) or of Gemma 3 (Gemma Team 2025).
#[derive(Debug)]
pub struct PreNormBlock {
    shape: PreNormShape,
    /// As [`PreNormWeights`] has them; zeros where there is no bias.
    matrices: [Packed; 4],
    norms: [Affine; 2],
    more: More,
}

/// A weight of a block, and its bias.
#[derive(Debug)]
struct Packed {
    panels: Panels,
    /// In codes, if it came in such.
    quantised: Vec<Quantised>,
    bias: Vec<f32>,
}

/// The keys and the values of what a model has read, a layer's in one element.
#[derive(Clone, Debug, Default)]
pub struct Past {
    length: usize,
    layers: Vec<[Vec<f32>; 2]>,
}

impl Past {
    /// How many tokens have been read.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Rows that a task takes, and those that it takes at least.
const ROWS: usize = 64;
const LEAST_ROWS: usize = 8;

impl PreNormBlock {
    /// A block of these weights, whose factors are rounded to `precision`.
    pub fn new(shape: PreNormShape, weights: PreNormWeights, precision: Precision) -> Self {
        let PreNormWeights { qkv, out, attention_norm, into, out_of, feed_forward_norm, more } =
            weights;
        let pack = |(weight, bias): WithBias| Packed {
            panels: Pass::Forward.pack(precision, &weight.values, bias.len()),
            quantised: weight.quantised,
            bias,
        };
        let norms = [attention_norm, feed_forward_norm];
        Self { shape, matrices: [qkv, out, into, out_of].map(pack), norms, more }
    }

    fn linear(&self, i: usize) -> (&Panels, &[f32]) {
        (&self.matrices[i].panels, &self.matrices[i].bias)
    }

    #[inline(always)]
    fn norm(&self, i: usize, x: &[f32], out: &mut [f32]) {
        let (weight, bias) = &self.norms[i];
        let PreNormShape { norm, epsilon, .. } = self.shape;
        let norms = Norms { norm, epsilon, weight, bias };
        norms.apply(x, out, &mut [[0.0; 2]; ROWS]);
    }

    /// Adds to `x` what attention (0) or the feed-forward layer (1) has found.
    #[inline(always)]
    fn add(&self, i: usize, found: &mut [f32], x: &mut [f32]) {
        if let Some(scales) = &self.more.after_norms {
            found.chunks_exact_mut(self.shape.width).for_each(|row| self.scaled(&scales[i], row));
        }
        norm::add(x, found);
    }

    /// The root-mean-square norm of `row`, in its place.
    #[inline(always)]
    fn scaled(&self, scale: &[f32], row: &mut [f32]) {
        let squares: f32 = row.iter().map(|x| x * x).sum();
        let factor = 1.0 / (squares / row.len() as f32 + self.shape.epsilon).sqrt();
        row.iter_mut().zip(scale).for_each(|(x, scale)| *x *= factor * scale);
    }

    /// Queries, keys and values of rows that stand at `places`.
    #[inline(always)]
    fn before(&self, x: &[f32], (places, rotations): (&[usize], &[Rotation]), qkv: &mut [f32]) {
        let mut normal = Scratch::new(x.len());
        self.norm(0, x, &mut normal);
        linear(&normal, self.linear(0), places.len(), qkv);
        self.turn(qkv, places, rotations);
    }

    /// Normalises and turns queries and keys of rows that stand at `places`.
    #[inline(always)]
    fn turn(&self, qkv: &mut [f32], places: &[usize], rotations: &[Rotation]) {
        let (queries, size) = (self.shape.queries(), self.shape.size);
        let turned = queries + self.shape.keys();
        let rotation = self.more.rotation.map(|i| &rotations[i]);
        for (row, place) in qkv.chunks_exact_mut(self.shape.row()).zip(places) {
            if let Some([of_queries, of_keys]) = &self.more.head_norms {
                let (queries, keys) = row[..turned].split_at_mut(queries);
                queries.chunks_exact_mut(size).for_each(|head| self.scaled(of_queries, head));
                keys.chunks_exact_mut(size).for_each(|head| self.scaled(of_keys, head));
            }
            if let Some(rotation) = rotation {
                rotation.turn_at(*place, &mut row[..turned]);
            }
        }
    }

    /// What the tokens of `head` find: `out` [rows, size].
    #[inline(always)]
    fn attend(&self, head: usize, batch: &Batch<'_>, out: &mut [f32]) {
        let shape @ PreNormShape { size, heads, key_heads, .. } = self.shape;
        let (row, keys, past) = (shape.row(), shape.keys(), batch.past);
        let (rows, of_keys) = (batch.qkv.len() / row, head / (heads / key_heads) * size);
        let precision = self.matrices[0].panels.precision();
        let scale = 1.0 / (size as f32).sqrt();
        let own = |at: usize| &batch.qkv[at..];
        let mut read = Scratch::new(rows * past);
        let [past_keys, past_values] =
            batch.kept.map(|kept| View::rows(kept.get(of_keys..).unwrap_or_default(), keys));
        if past > 0 {
            let queries = View::rows(own(head * size), row);
            let shape = (rows, past, size);
            precision.multiply(
                Part::Whole,
                (&mut read, past),
                shape,
                queries,
                past_keys.transposed(),
            );
        }
        let longest = batch.lengths.iter().copied().max().unwrap_or_default();
        let mut squares = Scratch::new(rows * longest);
        let mut first = 0;
        for &length in batch.lengths {
            let at = first * row;
            let queries = View::rows(own(at + head * size), row);
            let own_keys = View::rows(own(at + shape.queries() + of_keys), row);
            let square = &mut squares[first * longest..][..length * length];
            let product = (length, length, size);
            let part = Part::LowerProduct;
            precision.multiply(part, (square, length), product, queries, own_keys.transposed());
            for (i, scores) in square.chunks_exact_mut(length).enumerate() {
                let (seen, unseen) = scores.split_at_mut(i + 1);
                let read = &mut read[(first + i) * past..][..past];
                if let Some(window) = self.more.window {
                    // What stands further back is nearly −∞, and nothing after the softmax.
                    let gone = (past + i + 1).saturating_sub(window);
                    read[..gone.min(past)].fill(-1e30);
                    seen[..gone.saturating_sub(past)].fill(-1e30);
                }
                softmax(read, seen, scale);
                unseen.fill(0.0);
            }
            first += length;
        }
        if past > 0 {
            let weights = View::rows(&read, past);
            let product = (rows, size, past);
            precision.multiply(Part::Whole, (out, size), product, weights, past_values);
        } else {
            out.fill(0.0);
        }
        let mut first = 0;
        for &length in batch.lengths {
            let at = first * row + shape.queries() + keys + of_keys;
            let weights = View::rows(&squares[first * longest..], length);
            let (out, product) = (&mut out[first * size..], (length, size, length));
            precision.multiply_add((out, size), product, weights, View::rows(own(at), row));
            first += length;
        }
    }

    /// Adds to rows `x` what attention has found and what the feed-forward layer makes of them.
    #[inline(always)]
    fn after(&self, attended: &[f32], x: &mut [f32]) {
        let PreNormShape { width, inner, active: kind, .. } = self.shape;
        let rows = x.len() / width;
        let mut added = Scratch::new(x.len());
        linear(attended, self.linear(1), rows, &mut added);
        self.add(0, &mut added, x);
        self.norm(1, x, &mut added);
        let mut wide = Scratch::new(rows * kind.times() * inner);
        linear(&added, self.linear(2), rows, &mut wide);
        let mut active = Scratch::new(rows * inner);
        activate(&wide, (kind, inner), &mut active);
        linear(&active, self.linear(3), rows, &mut added);
        self.add(1, &mut added, x);
    }

    /// What the block makes of the rows `x`, in their place, and the keys and values in `qkv`.
    fn run(
        &self,
        batch: Batch<'_>,
        places: &[usize],
        rotations: &[Rotation],
        x: &mut [f32],
    ) -> Scratch {
        let PreNormShape { width, size, heads, .. } = self.shape;
        let row = self.shape.row();
        let rows = places.len();
        if rows <= FEW && self.matrices.iter().all(|matrix| !matrix.quantised.is_empty()) {
            return self.run_few(batch, (places, rotations), x);
        }
        // Few rows are divided among the threads.
        let a_task = rows.div_ceil(rayon::current_num_threads()).clamp(LEAST_ROWS, ROWS);
        let mut qkv = Scratch::new(rows * row);
        let pieces = qkv.par_chunks_mut(a_task * row).zip(x.par_chunks(a_task * width));
        pieces.zip(places.par_chunks(a_task)).for_each(|((qkv, x), places)| {
            before(self, x, (places, rotations), qkv);
        });
        let mut of_heads = Scratch::new(rows * heads * size);
        let batch = Batch { qkv: &qkv, ..batch };
        of_heads.par_chunks_mut((rows * size).max(1)).enumerate().for_each(|(head, out)| {
            attend(self, head, &batch, out);
        });
        x.par_chunks_mut(a_task * width).enumerate().for_each(|(piece, x)| {
            let (first, n) = (piece * a_task, x.len() / width);
            let mut attended = Scratch::new(n * heads * size);
            for (head, of_head) in of_heads.chunks_exact(rows * size).enumerate() {
                let of_head = of_head[first * size..][..n * size].chunks_exact(size);
                for (all, own) in attended.chunks_exact_mut(heads * size).zip(of_head) {
                    all[head * size..][..size].copy_from_slice(own);
                }
            }
            after(self, &attended, x);
        });
        qkv
    }

    /// [`PreNormBlock::run`] of few rows: what it takes is to read the weights, so they are read in
    /// their codes and by all threads.
    fn run_few(
        &self,
        batch: Batch<'_>,
        (places, rotations): (&[usize], &[Rotation]),
        x: &mut [f32],
    ) -> Scratch {
        let PreNormShape { size, heads, inner, active: kind, .. } = self.shape;
        let (rows, mut normal) = (places.len(), Scratch::new(x.len()));
        self.norm(0, x, &mut normal);
        let mut qkv = Scratch::new(rows * self.shape.row());
        qkv.copy_from_slice(&self.product(0, &normal));
        self.turn(&mut qkv, places, rotations);
        let batch = Batch { qkv: &qkv, ..batch };
        let (mut of_head, mut attended) =
            (Scratch::new(rows * size), Scratch::new(rows * heads * size));
        for head in 0..heads {
            attend(self, head, &batch, &mut of_head);
            let own = of_head.chunks_exact(size);
            for (all, own) in attended.chunks_exact_mut(heads * size).zip(own) {
                all[head * size..][..size].copy_from_slice(own);
            }
        }
        self.add(0, &mut self.product(1, &attended), x);
        self.norm(1, x, &mut normal);
        let wide = self.product(2, &normal);
        let mut active = Scratch::new(rows * inner);
        make_active(&wide, (kind, inner), &mut active);
        self.add(1, &mut self.product(3, &active), x);
        qkv
    }

    /// The product of few rows with a matrix, and its bias.
    fn product(&self, i: usize, x: &[f32]) -> Vec<f32> {
        let Packed { quantised, bias, .. } = &self.matrices[i];
        let mut product = multiply_quantised(quantised, x);
        for row in product.chunks_exact_mut(bias.len()) {
            norm::add(row, bias);
        }
        product
    }
}

/// What rows become that are as `kind` says, each part of `inner` numbers.
#[inline(always)]
fn activate(wide: &[f32], (kind, inner): (Active, usize), active: &mut [f32]) {
    let rows = wide.chunks_exact(kind.times() * inner).zip(active.chunks_exact_mut(inner));
    for (row, active) in rows {
        let (a, b) = row.split_at(inner);
        match kind {
            Active::SiluGated => {
                for ((a, b), active) in a.iter().zip(b).zip(active) {
                    *active = a / (1.0 + exp(-a)) * b;
                }
            }
            Active::GeluGated => {
                for ((a, b), active) in a.iter().zip(b).zip(active) {
                    *active = gelu_by_tanh(*a).0 * b;
                }
            }
            Active::Gelu => {
                for (a, active) in a.iter().zip(active) {
                    *active = gelu_by_tanh(*a).0;
                }
            }
        }
    }
}

vectorised! {
    fn make_active<'a>(wide: &'a [f32], kind: (Active, usize), active: &'a mut [f32]) -> () =
        activate;
}

/// What attention reads of a batch.
#[derive(Clone, Copy)]
struct Batch<'a> {
    /// Tokens of each sequence.
    lengths: &'a [usize],
    /// Queries, keys and values of all tokens.
    qkv: &'a [f32],
    /// Tokens that all sequences have read before.
    past: usize,
    /// Keys and values of those.
    kept: [&'a [f32]; 2],
}

vectorised! {
    fn before<'a>(
        block: &'a PreNormBlock,
        x: &'a [f32],
        places: (&'a [usize], &'a [Rotation]),
        qkv: &'a mut [f32],
    ) -> () = PreNormBlock::before;
}

vectorised! {
    fn attend<'a>(
        block: &'a PreNormBlock,
        head: usize,
        batch: &'a Batch<'a>,
        out: &'a mut [f32],
    ) -> () = PreNormBlock::attend;
}

vectorised! {
    fn after<'a>(block: &'a PreNormBlock, attended: &'a [f32], x: &'a mut [f32]) -> () =
        PreNormBlock::after;
}

/// Softmax of `scale` times the scores of both, in their place.
#[inline(always)]
fn softmax(first: &mut [f32], second: &mut [f32], scale: f32) {
    let largest = f32::max(max(first), max(second));
    for scores in [&mut *first, &mut *second] {
        for score in scores {
            *score = exp((*score - largest) * scale);
        }
    }
    let share = 1.0 / (sum(first) + sum(second));
    for weights in [first, second] {
        for weight in weights {
            *weight *= share;
        }
    }
}

/// What `blocks`, one after the other, make of the packed rows `x` [tokens, width] of sequences of
/// these `lengths`, in their place. Every sequence goes on from `past`; if `keep`, there must be one
/// alone, which becomes part of `past`. The blocks say which of the `rotations` is theirs.
pub fn pre_norm_blocks(
    blocks: &[PreNormBlock],
    lengths: &[usize],
    (past, keep): (&mut Past, bool),
    rotations: &[Rotation],
    x: &mut [f32],
) {
    assert!(!keep || lengths.len() == 1, "one sequence is kept at a time");
    let place = |&length: &usize| past.length..past.length + length;
    let places: Vec<usize> = lengths.iter().flat_map(place).collect();
    past.layers.resize(blocks.len(), [const { Vec::new() }; 2]);
    for (block, of_layer) in blocks.iter().zip(&mut past.layers) {
        let kept = [&of_layer[0][..], &of_layer[1][..]];
        let batch = Batch { lengths, qkv: &[], past: past.length, kept };
        let qkv = block.run(batch, &places, rotations, x);
        if keep {
            let (queries, keys) = (block.shape.queries(), block.shape.keys());
            for row in qkv.chunks_exact(block.shape.row()) {
                for (part, all) in of_layer.iter_mut().enumerate() {
                    all.extend_from_slice(&row[queries + part * keys..][..keys]);
                }
            }
        }
    }
    if keep {
        past.length += places.len();
    }
}
