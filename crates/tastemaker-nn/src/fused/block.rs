//! A whole transformer block as one operation.

mod backward;
mod cached;
mod cross;
mod hstu;
mod scales;

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use self::cached::ReadBefore;
use self::cross::Crossed;
use super::attention::{Bias, Heads};
use super::intervals::{INTERVALS, Intervals};
use super::lanes::{Chunk, Lanes};
use super::linear::{Pass, linear};
use super::mask::AttentionMask;
use super::matrix::{Panels, Precision};
use super::relative::{self, BUCKETS};
use super::rotary::Rotation;
use super::scratch::Scratch;
use super::simd::{Dropout, exp, gelu, gelu_by_tanh, vectorised};
use super::sink::{Sink, leave};
use super::style::{BlockKind, FeedForward, Norm, Positions, Style};
use super::{norm, slice, tensor_like, with_slice};
use crate::composite;

pub(super) use backward::add_up;
pub(crate) use cached::{BlockCache, Seen};

/// How many parameters a block can have.
pub(crate) const PARAMETERS: usize = 26;

/// The numbers that fix a block's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockShape {
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Numbers of a head.
    pub size: usize,
    /// Width of the feed-forward layer; 0 for a block without one.
    pub inner: usize,
    /// Whether a token sees only itself and what came before it.
    pub causal: bool,
    /// Whether a token also looks at an encoder's states of the same sequence.
    pub reads: bool,
    /// The choices between architectures.
    pub style: Style,
}

impl BlockShape {
    /// The block's parameters, in the order in which they are packed, with their dimensions; one
    /// that it does not have has no numbers. A linear layer's weight is [outputs, inputs]; the
    /// outputs of `attention.qkv` are queries, keys, values and, in an HSTU, gates.
    pub fn parameters(self) -> [(&'static str, Vec<usize>); PARAMETERS] {
        let Self { width: d, inner, style, size, .. } = self;
        let attended = self.attended();
        let norm = |there: bool, n: usize| vec![if there { n } else { 0 }];
        let shift = if style.norm == Norm::Layer { d } else { 0 };
        let (into, row) = (self.into(), self.row());
        let table = |there: bool, n: usize| if there { vec![self.heads, n] } else { vec![0] };
        let (out, second) = match style.kind {
            BlockKind::Transformer => (d, ["feed-forward-norm.weight", "feed-forward-norm.bias"]),
            BlockKind::Hstu { .. } => (0, ["attended-norm.weight", "attended-norm.bias"]),
        };
        let cross = |outputs: usize| if self.reads { outputs * d } else { 0 };
        let matrix = |outputs: usize| if self.reads { vec![outputs * d, d] } else { vec![0] };
        [
            ("attention-norm.weight", vec![d]),
            ("attention-norm.bias", vec![shift]),
            ("attention.qkv.weight", vec![row, d]),
            ("attention.qkv.bias", vec![row]),
            ("attention.out.weight", vec![d, attended]),
            ("attention.out.bias", vec![d]),
            (second[0], vec![d]),
            (second[1], vec![shift]),
            ("feed-forward.in.weight", vec![into, d]),
            ("feed-forward.in.bias", vec![into]),
            ("feed-forward.out.weight", vec![d, inner]),
            ("feed-forward.out.bias", vec![out]),
            ("attention.distance", table(style.positions == Positions::Relative, BUCKETS)),
            ("cross-attention-norm.weight", vec![cross(1)]),
            ("cross-attention-norm.bias", vec![if shift > 0 { cross(1) } else { 0 }]),
            ("cross-attention.query.weight", matrix(1)),
            ("cross-attention.query.bias", vec![cross(1)]),
            ("cross-attention.kv.weight", matrix(2)),
            ("cross-attention.kv.bias", vec![cross(2)]),
            ("cross-attention.out.weight", matrix(1)),
            ("cross-attention.out.bias", vec![cross(1)]),
            ("attention.interval", table(style.intervals, INTERVALS)),
            ("attention.query-norm.weight", norm(style.head_norms, size)),
            ("attention.key-norm.weight", norm(style.head_norms, size)),
            ("attention.after-norm.weight", norm(style.after_norms, d)),
            ("feed-forward.after-norm.weight", norm(style.after_norms, d)),
        ]
    }

    /// Numbers of the queries of a token, and of what it finds.
    pub(crate) fn attended(self) -> usize {
        self.heads * self.size
    }

    /// Numbers in a row of queries, keys, values and, in an HSTU, gates.
    fn row(self) -> usize {
        self.style.kind.projections() * self.attended()
    }

    /// The rows of the first matrix of the feed-forward half.
    fn into(self) -> usize {
        if self.style.feed_forward.is_gated() { 2 * self.inner } else { self.inner }
    }

    /// Where each parameter stands in the packed weights.
    pub(crate) fn ranges(self) -> [Range<usize>; PARAMETERS] {
        let mut start = 0;
        self.parameters().map(|(_, dimensions)| {
            let range = start..start + dimensions.iter().product::<usize>();
            start = range.end;
            range
        })
    }

    pub(crate) fn n_parameters(self) -> usize {
        self.ranges()[PARAMETERS - 1].end
    }
}

/// A pre-norm transformer block over packed sequences:
///
/// `m = x + dropout(W_o attention(W_qkv norm(x)))`,
/// `y = m + dropout(W_2 gelu(W_1 norm(m)))`,
///
/// or, of the other kind, an HSTU (Zhai et al. 2024), with ⊙ the product number by number,
///
/// `q, k, v, u = silu(W_qkv norm(x))`,
/// `y = x + dropout(W_o (norm(silu(q kᵀ) v / longest) ⊙ u))`,
///
/// as an operation on `x` [tokens, width] and the packed weights. The forward pass keeps what
/// the backward pass needs, so the operation is used once.
///
/// A block that reads has a third half between the two, on the states of an encoder, `memory`
/// [its tokens, width]: `c = m + dropout(W_o attention(W_q norm(m), W_kv memory))` (Vaswani et al.
/// 2017; no distances there, as in T5, Raffel et al. 2020), and `c` stands for `m` in what follows.
///
/// With `head_norms`, heads of queries and keys are normalised before they are turned, and with
/// `after_norms` so is what attention and the feed-forward half add (see [`Style`]).
pub struct Block {
    shape: BlockShape,
    lanes: Arc<Lanes>,
    /// How the encoder's states are divided, if the block reads any.
    memory: Option<Arc<Lanes>>,
    dropout: Dropout,
    mask: Option<Arc<AttentionMask>>,
    learns: [bool; PARAMETERS],
    recompute: bool,
    precision: Precision,
    sink: Option<Sink>,
    /// What turns queries and keys; made of what the style says when it is asked for, if none was given.
    rotation: OnceLock<Rotation>,
    /// Tokens of the longest sequence, what was read before among them.
    longest: usize,
    /// The bucket of each distance, where distances matter.
    buckets: Vec<usize>,
    /// The bucket of each interval, where they matter.
    intervals: Option<Arc<Intervals>>,
    /// What was read before, where each sequence is the next token of another.
    past: Option<ReadBefore>,
    kept: Mutex<Vec<Vec<Kept>>>,
}

/// What the backward pass needs of a chunk's forward pass.
struct Kept {
    attention_stats: Vec<[f32; 2]>,
    attention_normal: Scratch,
    /// Rows of queries, keys, values and, in an HSTU, gates.
    qkv: Scratch,
    /// Of these the queries and keys before their norms, where they have any.
    unscaled: Scratch,
    /// What attention and the feed-forward half have found before its norm, where it has one.
    found: [Scratch; 2],
    /// What each token looks at; in an HSTU the scores that say so.
    weights: Scratch,
    attended: Scratch,
    middle: Scratch,
    crossed: Option<Crossed>,
    forward_stats: Vec<[f32; 2]>,
    forward_normal: Scratch,
    active: Scratch,
    slope: Scratch,
}

/// A block's norms and biases and, packed for one pass, its matrices: of the queries, keys and
/// values, of attention's output, into and out of the feed-forward layer, and, where it reads an
/// encoder's states, of the queries, of the keys and values and of the output there.
#[derive(Debug)]
pub struct BlockWeights {
    part: [Vec<f32>; PARAMETERS],
    matrices: [Panels; MATRICES.len()],
}

impl BlockWeights {
    /// The weights of [`BlockShape::parameters`], one after the other, for forward passes whose
    /// factors are rounded to `precision`.
    pub fn forward(shape: BlockShape, weights: &[f32], precision: Precision) -> Self {
        Self::new(shape, weights, (Pass::Forward, precision))
    }

    fn new(shape: BlockShape, weights: &[f32], (pass, precision): (Pass, Precision)) -> Self {
        let ranges = shape.ranges();
        let mut matrices: [Panels; MATRICES.len()] = Default::default();
        let there = matrices.par_iter_mut().zip(MATRICES).filter(|(_, i)| !ranges[*i].is_empty());
        there.for_each(|(panels, i)| {
            *panels = pass.pack(precision, &weights[ranges[i].clone()], ranges[i + 1].len());
        });
        let vector = |i: usize| if MATRICES.contains(&i) { 0..0 } else { ranges[i].clone() };
        let mut part: [Vec<f32>; PARAMETERS] = std::array::from_fn(|i| weights[vector(i)].to_vec());
        for shift in [1, 7, 14] {
            // A norm that does not shift shifts by nothing.
            part[shift].resize(shape.width, 0.0);
        }
        Self { part, matrices }
    }

    /// The `i`-th matrix and its bias.
    #[inline(always)]
    fn linear(&self, i: usize) -> (&Panels, &[f32]) {
        (&self.matrices[i], &self.part[MATRICES[i] + 1])
    }
}

vectorised! {
    fn forward<'a>(
        block: &'a Block,
        weights: &'a BlockWeights,
        chunk: &'a Chunk,
        x: (&'a [f32], &'a [f32]),
        y: &'a mut [f32],
        kept: &'a mut Kept,
    ) -> () = Block::forward;
}

/// Where the numbers for distances stand among a block's parameters.
const DISTANCE: usize = 12;

/// Where those for intervals stand.
const INTERVAL: usize = 21;

/// Where the matrices stand among a block's parameters; their biases follow them.
const MATRICES: [usize; 7] = [2, 4, 8, 10, 15, 17, 19];

impl Block {
    /// A block over the sequences of `lanes`; `dropout` is this block's own.
    pub fn new(shape: BlockShape, lanes: Arc<Lanes>, dropout: Dropout) -> Self {
        let longest = lanes.lengths().iter().copied().max().unwrap_or(0);
        Self {
            rotation: OnceLock::new(),
            longest,
            buckets: distances(shape, longest),
            intervals: None,
            shape,
            lanes,
            memory: None,
            dropout,
            mask: None,
            learns: [true; PARAMETERS],
            recompute: false,
            precision: Precision::F32,
            sink: None,
            past: None,
            kept: Mutex::default(),
        }
    }

    /// Hides from each token what `mask`, if there is one, says, beside what a causal block hides
    /// anyway.
    #[must_use]
    pub fn masked(self, mask: Option<Arc<AttentionMask>>) -> Self {
        Self { mask, ..self }
    }

    /// Turns queries and keys by this, where it is not what the style says.
    #[must_use]
    pub(crate) fn turning(self, rotation: Option<Rotation>) -> Self {
        Self { rotation: rotation.map_or_else(OnceLock::new, OnceLock::from), ..self }
    }

    /// What turns queries and keys, if anything.
    fn rotation(&self) -> Option<&Rotation> {
        let BlockShape { size, style, .. } = self.shape;
        let of_style = || Rotation::new(size, self.longest, f64::from(style.rotary_base));
        (style.positions == Positions::Rotary).then(|| self.rotation.get_or_init(of_style))
    }

    /// Reads an encoder's states of the same sequences, divided as `memory` says.
    #[must_use]
    pub fn reading(self, memory: Option<Arc<Lanes>>) -> Self {
        Self { memory, ..self }
    }

    /// Tells a block that looks at the time between tokens what it is.
    #[must_use]
    pub fn timed(self, intervals: Option<Arc<Intervals>>) -> Self {
        Self { intervals, ..self }
    }

    /// Which of [`BlockShape::parameters`] learn. The gradients of the others are zeros that cost
    /// nothing.
    #[must_use]
    pub fn learning(self, learns: [bool; PARAMETERS]) -> Self {
        Self { learns, ..self }
    }

    /// Keeps nothing for the backward pass, which runs the forward pass again instead, a few
    /// sequences at a time (Chen et al. 2016): a third more time, hardly any memory.
    #[must_use]
    pub fn recomputing(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// Rounds the factors of the products to `precision`. Weights that are packed already have
    /// their own.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Leaves the gradient of the packed weights in `sink`, if there is one.
    #[must_use]
    pub fn sink(self, sink: Option<Sink>) -> Self {
        Self { sink, ..self }
    }

    fn heads(&self, weights: &BlockWeights) -> Heads {
        let BlockShape { heads: count, causal, .. } = self.shape;
        let (width, stride) = (self.shape.attended(), self.shape.row());
        Heads { width, stride, count, causal, precision: weights.matrices[0].precision() }
    }

    /// What is added to the scores of a sequence; `distances` are spread.
    fn bias<'a>(
        &'a self,
        sequence: usize,
        weights: &'a BlockWeights,
        distances: &'a [f32],
    ) -> Bias<'a> {
        Bias {
            mask: self.mask.as_ref().map(|mask| mask.0.of(sequence)),
            distances,
            buckets: self.intervals_of(sequence),
            intervals: &weights.part[INTERVAL],
        }
    }

    fn intervals_of(&self, sequence: usize) -> &[u8] {
        self.intervals.as_ref().map_or(&[], |intervals| intervals.0.of(sequence))
    }

    /// The block, differentiable. Where nothing learns, nothing is kept.
    pub fn apply(mut self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.composite((x, None), weights);
        }
        self.recompute |= !(x.track_op() || weights.track_op());
        x.apply_op2(weights, self)
    }

    fn composite(
        &self,
        (x, memory): (&Tensor, Option<&Tensor>),
        weights: &Tensor,
    ) -> Result<Tensor> {
        let Self { shape, lanes, mask, intervals, dropout, .. } = self;
        if self.rotation.get().is_some() {
            bail!("places that a pre-trained model turns otherwise are turned on the CPU alone");
        }
        let memory = memory.zip(self.memory.as_deref());
        let looks = (mask.as_deref(), intervals.as_deref());
        composite::reading_block(*shape, (x, memory), weights, lanes, looks, *dropout)
    }

    fn check(&self, (x, memory): (&[f32], &[f32])) -> Result<()> {
        let (tokens, width) = (self.lanes.n_tokens(), self.shape.width);
        if x.len() != tokens * width {
            bail!("a block of {tokens} tokens × {width} got {} numbers", x.len());
        }
        if self.mask.as_ref().is_some_and(|mask| !mask.0.fits(&self.lanes)) {
            bail!("an attention mask is for a batch of other sequences");
        }
        if self.shape.style.intervals
            && self.intervals.as_ref().is_none_or(|intervals| !intervals.0.fits(&self.lanes))
        {
            bail!("a block that looks at intervals needs those of its batch");
        }
        if let Some(rotation) = self.rotation().filter(|rotation| rotation.places() < self.longest)
        {
            bail!(
                "{} tokens, expected {} at most, whose places are known",
                self.longest,
                rotation.places()
            );
        }
        self.check_memory(memory)
    }

    /// The forward pass over `x` and, where the block reads them, an encoder's states, else nothing;
    /// `keep` what the backward pass needs.
    pub(crate) fn run(
        &self,
        (x, memory): (&[f32], &[f32]),
        weights: &BlockWeights,
        keep: bool,
    ) -> Result<Vec<f32>> {
        self.check((x, memory))?;
        let d = self.shape.width;
        let mut y = vec![0.0; x.len()];
        let lanes = self.lanes.lanes().par_iter().zip(self.lanes.split_mut(&mut y, d));
        let kept: Vec<Vec<Kept>> = lanes
            .map(|(chunks, mut y)| {
                let mut all = Vec::with_capacity(if keep { chunks.len() } else { 0 });
                for chunk in chunks {
                    let (piece, rest) = y.split_at_mut(chunk.tokens.len() * d);
                    y = rest;
                    let x = &x[chunk.tokens.start * d..chunk.tokens.end * d];
                    let mut kept = self.room(chunk);
                    forward(self, weights, chunk, (x, memory), piece, &mut kept);
                    if keep {
                        all.push(kept);
                    }
                }
                all
            })
            .collect();
        if keep {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(y)
    }

    /// The forward pass as the tensor library asks for it, with what the backward pass needs kept.
    fn first_pass(&self, x: (&[f32], &[f32]), weights: &[f32]) -> Result<Vec<f32>> {
        let n = self.shape.n_parameters();
        if weights.len() != n {
            bail!("a block of {n} weights got {} numbers", weights.len());
        }
        let weights = BlockWeights::forward(self.shape, weights, self.precision);
        let y = self.run(x, &weights, !self.recompute)?;
        if self.recompute {
            let nothing = self.lanes.lanes().iter().map(|_| vec![]).collect();
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = nothing;
        }
        Ok(y)
    }

    /// The packed weights' gradient, as far as the tensor library is to carry it.
    fn leave(&self, gradient: Option<Vec<f32>>, weights: &Tensor) -> Result<Option<Tensor>> {
        match gradient {
            Some(gradient) => leave(self.sink.as_ref(), gradient, weights),
            None => Ok(None),
        }
    }

    fn room(&self, chunk: &Chunk) -> Kept {
        let (d, row, t) = (self.shape.width, self.shape.row(), chunk.tokens.len());
        let (attended, style) = (self.shape.attended(), self.shape.style);
        let if_there = |there: bool, n: usize| Scratch::new(if there { t * n } else { 0 });
        let (middle, active, slope) = match self.shape.style.kind {
            BlockKind::Transformer => (d, self.shape.inner, self.shape.into()),
            BlockKind::Hstu { .. } => (0, d, row),
        };
        Kept {
            attention_stats: vec![[0.0; 2]; t],
            attention_normal: Scratch::new(t * d),
            qkv: Scratch::new(t * row),
            unscaled: if_there(style.head_norms, 2 * attended),
            found: [(); 2].map(|()| if_there(style.after_norms, d)),
            weights: Scratch::new(self.attention_size(chunk)),
            attended: Scratch::new(t * attended),
            middle: Scratch::new(t * middle),
            crossed: self.shape.reads.then(|| Crossed::new(self, chunk)),
            forward_stats: vec![[0.0; 2]; t],
            forward_normal: Scratch::new(t * d),
            active: Scratch::new(t * active),
            slope: Scratch::new(t * slope),
        }
    }

    #[inline(always)]
    fn forward(
        &self,
        weights: &BlockWeights,
        chunk: &Chunk,
        (x, memory): (&[f32], &[f32]),
        y: &mut [f32],
        kept: &mut Kept,
    ) {
        if !self.shape.style.kind.has_feed_forward() {
            return self.hstu_forward(weights, chunk, x, y, kept);
        }
        let (t, part) = (chunk.tokens.len(), &weights.part);
        let style = self.shape.style;
        let (normal, stats) = (&mut kept.attention_normal, &mut kept.attention_stats);
        style.norms(&part[0], &part[1]).apply(x, normal, stats);
        linear(&kept.attention_normal, weights.linear(0), t, &mut kept.qkv);
        self.attend(weights, chunk, kept);
        linear(&kept.attended, weights.linear(1), t, &mut kept.middle);
        self.scale_found(0, weights, &mut kept.middle, &mut kept.found);
        self.drop_and_add(0, chunk, &mut kept.middle, x);
        if let Some(crossed) = &mut kept.crossed {
            cross::forward(self, weights, chunk, (&kept.middle, memory), crossed);
        }
        let middle = kept.crossed.as_ref().map_or(&kept.middle[..], |crossed| &crossed.out[..]);
        let (normal, stats) = (&mut kept.forward_normal, &mut kept.forward_stats);
        style.norms(&part[6], &part[7]).apply(middle, normal, stats);
        match style.feed_forward {
            FeedForward::Gelu => {
                linear(&kept.forward_normal, weights.linear(2), t, &mut kept.active);
                for (active, slope) in kept.active.iter_mut().zip(kept.slope.iter_mut()) {
                    (*active, *slope) = gelu(*active);
                }
            }
            FeedForward::GeluTanh => {
                linear(&kept.forward_normal, weights.linear(2), t, &mut kept.active);
                for (active, slope) in kept.active.iter_mut().zip(kept.slope.iter_mut()) {
                    (*active, *slope) = gelu_by_tanh(*active);
                }
            }
            FeedForward::Relu => {
                linear(&kept.forward_normal, weights.linear(2), t, &mut kept.active);
                for (active, slope) in kept.active.iter_mut().zip(kept.slope.iter_mut()) {
                    *slope = if *active > 0.0 { 1.0 } else { 0.0 };
                    *active *= *slope;
                }
            }
            FeedForward::GegluTanh => {
                linear(&kept.forward_normal, weights.linear(2), t, &mut kept.slope);
                gate(self.shape.inner, gelu_times, &mut kept.slope, &mut kept.active);
            }
            FeedForward::Swiglu => {
                linear(&kept.forward_normal, weights.linear(2), t, &mut kept.slope);
                gate(self.shape.inner, silu, &mut kept.slope, &mut kept.active);
            }
        }
        linear(&kept.active, weights.linear(3), t, y);
        self.scale_found(1, weights, y, &mut kept.found);
        self.drop_and_add(1, chunk, y, middle);
    }

    /// From the rows of queries, keys and values to what every token finds.
    #[inline(always)]
    fn attend(&self, weights: &BlockWeights, chunk: &Chunk, kept: &mut Kept) {
        self.scale_heads(weights, kept);
        if let Some(past) = &self.past {
            return self.attend_past(past, weights, chunk, kept);
        }
        let (d, row) = (self.shape.attended(), self.shape.row());
        let distances = relative::spread(&weights.part[DISTANCE], &self.buckets);
        let heads = self.heads(weights);
        let mut scratch = Scratch::new(self.squares(chunk, 0, 1));
        for (sequence, length, tokens, scores) in self.sequences(chunk) {
            let qkv = &mut kept.qkv[tokens.start * row..tokens.end * row];
            if let Some(rotation) = self.rotation() {
                rotation.turn((d, row), qkv, false);
            }
            let bias = self.bias(sequence, weights, &distances);
            let out = &mut kept.attended[tokens.start * d..tokens.end * d];
            let weights = &mut kept.weights[scores];
            match self.shape.style.kind {
                BlockKind::Transformer => heads.forward(length, qkv, bias, weights, out),
                BlockKind::Hstu { longest } => {
                    let weights = (weights, &mut scratch[..]);
                    heads.silu_forward((length, longest), qkv, bias, weights, out);
                }
            }
        }
    }

    /// From the gradient of the active values, `d_active` [tokens, inner], those of a and b, written
    /// to `d_in`.
    #[inline(always)]
    fn backward_gate(&self, kept: &Kept, d_active: &[f32], d_in: &mut [f32]) {
        let inner = self.shape.inner;
        // A row of both halves stands for one row of active values.
        let halves = d_in.chunks_exact_mut(inner).zip(kept.slope.chunks_exact(inner));
        for (half, (d_in, slopes)) in halves.enumerate() {
            let d_active = &d_active[half / 2 * inner..][..inner];
            for ((d_in, slope), gradient) in d_in.iter_mut().zip(slopes).zip(d_active) {
                *d_in = gradient * slope;
            }
        }
    }

    /// Every sequence's number in the batch, its length, and its tokens and its attention weights in
    /// the chunk. To be gone through in a loop: a closure the compiler may leave outside of what it
    /// makes for the widest registers.
    fn sequences(
        &self,
        chunk: &Chunk,
    ) -> impl Iterator<Item = (usize, usize, Range<usize>, Range<usize>)> {
        let (mut token, mut score) = (0, 0);
        chunk.sequences.clone().map(move |sequence| {
            let length = self.lanes.lengths()[sequence];
            let (tokens, scores) = (token, score);
            token += length;
            score += self.shape.heads * length * length;
            (sequence, length, tokens..token, scores..score)
        })
    }

    fn attention_size(&self, chunk: &Chunk) -> usize {
        let lengths = &self.lanes.lengths()[chunk.sequences.clone()];
        lengths.iter().map(|length| self.shape.heads * length * length).sum()
    }

    /// The numbers of so many squares of the chunk's longest sequence, in a transformer or in an
    /// HSTU.
    fn squares(&self, chunk: &Chunk, transformer: usize, hstu: usize) -> usize {
        let lengths = &self.lanes.lengths()[chunk.sequences.clone()];
        let n = if self.shape.style.kind.has_feed_forward() { transformer } else { hstu };
        n * lengths.iter().copied().max().unwrap_or(0).pow(2)
    }

    /// `values = residual + dropout(values)`.
    #[inline(always)]
    fn drop_and_add(&self, site: u32, chunk: &Chunk, values: &mut [f32], residual: &[f32]) {
        self.drop(site, chunk, values);
        norm::add(values, residual);
    }

    #[inline(always)]
    fn drop(&self, site: u32, chunk: &Chunk, values: &mut [f32]) {
        drop_at(self.dropout.at(site), chunk.tokens.start * self.shape.width, values);
    }
}

/// The bucket of each distance in sequences of at most `longest` tokens, where a block of this shape
/// looks at distances.
fn distances(shape: BlockShape, longest: usize) -> Vec<usize> {
    match shape.style.positions {
        Positions::Relative => relative::buckets(longest, shape.causal),
        Positions::Learned | Positions::Rotary => vec![],
    }
}

/// From rows of a and b, each `inner` wide: `active` = f(a) b, and in the place of a and b the
/// derivatives by them; `f` gives f(a) and the derivative of f(a) b by a.
#[inline(always)]
fn gate(inner: usize, f: impl Fn(f32, f32) -> [f32; 2], rows: &mut [f32], active: &mut [f32]) {
    for (row, active) in rows.chunks_exact_mut(2 * inner).zip(active.chunks_exact_mut(inner)) {
        let (a, b) = row.split_at_mut(inner);
        for ((a, b), active) in a.iter_mut().zip(b).zip(active) {
            let [value, slope] = f(*a, *b);
            *active = value * *b;
            (*a, *b) = (slope, value);
        }
    }
}

/// a σ(a), and its slope times b.
#[inline(always)]
fn silu(a: f32, b: f32) -> [f32; 2] {
    let sigmoid = 1.0 / (1.0 + exp(-a));
    [a * sigmoid, b * sigmoid * (1.0 + a * (1.0 - sigmoid))]
}

/// gelu(a) by tanh, and its slope times b.
#[inline(always)]
fn gelu_times(a: f32, b: f32) -> [f32; 2] {
    let (value, slope) = gelu_by_tanh(a);
    [value, b * slope]
}

vectorised! {
    pub(crate) fn drop_all<'a>(dropout: Dropout, first: usize, values: &'a mut [f32]) -> () = drop_at;
}

/// Multiplies `values`, which begin at activation `first`, with the mask of `dropout`.
#[expect(clippy::cast_possible_truncation, reason = "beyond 2^32 activations the mask repeats")]
#[inline(always)]
pub(crate) fn drop_at(dropout: Dropout, first: usize, values: &mut [f32]) {
    if !dropout.is_none() {
        let first = first as u32;
        for (i, value) in values.iter_mut().enumerate() {
            *value *= dropout.factor(first.wrapping_add(i as u32));
        }
    }
}

impl CustomOp2 for Block {
    fn name(&self) -> &'static str {
        "transformer-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let values = (slice(x, x_layout)?, &[][..]);
        let y = self.first_pass(values, slice(weights, weights_layout)?)?;
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let learns = [x.track_op(), false, weights.track_op()];
        let [dx, _, d_weights] = with_slice(x, |x| {
            with_slice(weights, |values| {
                with_slice(gradient, |dy| self.gradients(((x, &[]), values), dy, learns))
            })
        })?;
        let dx = dx.map(|dx| tensor_like(dx, x)).transpose()?;
        Ok((dx, self.leave(d_weights, weights)?))
    }
}
