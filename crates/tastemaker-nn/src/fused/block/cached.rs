//! A block that goes on from what was read before: keys and values are kept (a KV cache).

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use candle_core::Result;

use super::{Block, BlockWeights, Kept, distances};
use crate::fused::attention::{Bias, Heads, softmax};
use crate::fused::lanes::Chunk;
use crate::fused::relative;
use crate::fused::scratch::Scratch;
use crate::fused::simd::dot;

/// Keys and values that a block has made: [rows, 2 width], of the tokens that it has read and of
/// the encoder's states at which they look.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockCache {
    tokens: Vec<f32>,
    states: Vec<f32>,
}

impl BlockCache {
    /// What `kept` has of a forward pass, after what is there.
    fn extend(&mut self, kept: &[Vec<Kept>], (width, row): (usize, usize)) {
        for kept in kept.iter().flatten() {
            for row in kept.qkv.chunks_exact(row) {
                self.tokens.extend_from_slice(&row[width..3 * width]);
            }
            if let Some(crossed) = &kept.crossed {
                self.states.extend_from_slice(crossed.keys_and_values());
            }
        }
    }
}

/// What each of some new tokens, every one the next of a sequence, looks at beside itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The rows of a [`BlockCache`] of the tokens before it, the first token's first.
    pub(crate) before: Vec<Vec<u32>>,
    /// The rows of the encoder's states, where there is an encoder.
    pub(crate) states: Vec<Range<usize>>,
}

/// What was read before.
pub(super) struct ReadBefore {
    cache: Arc<BlockCache>,
    seen: Arc<Seen>,
}

impl ReadBefore {
    /// The most that a token of these looks at of an encoder's states.
    pub(super) fn most_states(&self, chunk: &Chunk) -> usize {
        self.seen.states[chunk.tokens.clone()].iter().map(Range::len).max().unwrap_or(0)
    }
}

impl Block {
    /// Goes on: every sequence of the batch is one token, which comes after what it is said to look
    /// at in `cache`.
    #[must_use]
    pub(crate) fn going_on(self, cache: Arc<BlockCache>, seen: Arc<Seen>) -> Self {
        let longest = seen.before.iter().map(Vec::len).max().unwrap_or(0) + 1;
        let buckets = distances(self.shape, longest);
        Self { longest, buckets, past: Some(ReadBefore { cache, seen }), ..self }
    }

    /// [`Block::run`], whose keys and values go to `cache`, after those that are there.
    pub(crate) fn run_into(
        self,
        states: (&[f32], &[f32]),
        weights: &BlockWeights,
        cache: &mut Arc<BlockCache>,
    ) -> Result<Vec<f32>> {
        let y = self.run(states, weights, true)?;
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let rows = (self.shape.attended(), self.shape.row());
        // The block held the cache, which has one owner without it.
        drop(self);
        Arc::make_mut(cache).extend(&kept, rows);
        Ok(y)
    }

    /// [`Block::attend`] of tokens that look at what was read before.
    #[inline(always)]
    pub(super) fn attend_past(
        &self,
        past: &ReadBefore,
        weights: &BlockWeights,
        chunk: &Chunk,
        kept: &mut Kept,
    ) {
        let (d, row) = (self.shape.attended(), self.shape.row());
        let distances = relative::spread(&weights.part[super::DISTANCE], &self.buckets);
        let bias = Bias { mask: None, distances: &distances, buckets: &[], intervals: &[] };
        let heads = self.heads(weights);
        let before = &past.seen.before[chunk.tokens.clone()];
        let most = before.iter().map(Vec::len).max().unwrap_or(0) + 1;
        let mut scores = Scratch::new(most);
        let rows = kept.qkv.chunks_exact_mut(row).zip(kept.attended.chunks_exact_mut(d));
        for ((own, out), before) in rows.zip(before) {
            if let Some(rotation) = self.rotation() {
                rotation.turn_at(before.len(), &mut own[..2 * d]);
            }
            heads.forward_one((own, &past.cache.tokens), before, bias, &mut scores, out);
        }
    }

    /// Attention of the queries of a chunk's tokens to the encoder's states.
    #[inline(always)]
    pub(super) fn cross_past(
        &self,
        past: &ReadBefore,
        weights: &BlockWeights,
        chunk: &Chunk,
        (query, scores, out): (&[f32], &mut [f32], &mut [f32]),
    ) {
        let (d, heads) = (self.shape.width, self.heads(weights));
        let seen = &past.seen.states[chunk.tokens.clone()];
        let mut first = 0;
        // Neighbours mostly look at the same states.
        for same in seen.chunk_by(|a, b| a == b) {
            let (n, m) = (same.len(), same[0].len());
            let kv = &past.cache.states[same[0].start * 2 * d..same[0].end * 2 * d];
            let rows = first * d..(first + n) * d;
            let scores = &mut scores[..heads.count * n * m];
            heads.across((n, m), (&query[rows.clone()], kv), scores, &mut out[rows]);
            first += n;
        }
    }
}

impl Heads {
    /// Attention of one token to the rows `before` of `cache` [rows, 2 width] and to itself: `own`
    /// are its queries, keys and values; `scores` has room for one head's.
    #[inline(always)]
    fn forward_one(
        self,
        (own, cache): (&[f32], &[f32]),
        before: &[u32],
        bias: Bias<'_>,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let (d, size, scale, n) = (self.width, self.size(), self.scale(), before.len());
        let scores = &mut scores[..=n];
        for (head, out) in out.chunks_exact_mut(size).enumerate() {
            let [query, key, value] = [0, d, 2 * d].map(|part| &own[part + head * size..][..size]);
            let cached =
                |row: u32, part: usize| &cache[row as usize * 2 * d + part + head * size..][..size];
            for (score, &row) in scores.iter_mut().zip(before) {
                *score = dot(query, cached(row, 0));
            }
            scores[n] = dot(query, key);
            self.add_bias((head, n, n + 1), bias, scale, scores);
            softmax(scores, scale);
            for (out, value) in out.iter_mut().zip(value) {
                *out = scores[n] * value;
            }
            for (weight, &row) in scores.iter().zip(before) {
                for (out, value) in out.iter_mut().zip(cached(row, d)) {
                    *out += weight * value;
                }
            }
        }
    }
}
