//! Queries and keys turned by their places (Su et al. 2021, *`RoFormer`*).

use std::sync::Arc;

/// The slowest angle is this much smaller than the fastest, where nothing else is said.
pub(crate) const BASE: u32 = 10_000;

/// Cosine and sine for each place and each pair of a head's numbers.
#[derive(Clone, Debug)]
pub struct Rotation {
    pairs: usize,
    turns: Arc<[[f32; 2]]>,
}

impl Rotation {
    /// For heads of `size` numbers and sequences of at most `longest` tokens. The i-th pair of
    /// numbers, i and i + size / 2, turns by place · base^(−2i / size).
    pub fn new(size: usize, longest: usize, base: f64) -> Self {
        Self::slower(size, longest, base, |_, _| 1.0)
    }

    /// [`Rotation::new`], of which `slower` says how many times as slowly a pair turns than it would,
    /// which is the given angle a place.
    #[expect(clippy::cast_possible_truncation, reason = "what is turned is f32")]
    pub fn slower(
        size: usize,
        longest: usize,
        base: f64,
        slower: impl Fn(usize, f64) -> f64,
    ) -> Self {
        let pairs = size / 2;
        let turn = |place: usize, pair: usize| {
            let angle = base.powf(-2.0 * pair as f64 / size as f64);
            let angle = place as f64 * (angle / slower(pair, angle));
            [angle.cos() as f32, angle.sin() as f32]
        };
        let turns = (0..longest).flat_map(|place| (0..pairs).map(move |pair| turn(place, pair)));
        Self { pairs, turns: turns.collect() }
    }

    /// How many places it is made for.
    pub(crate) fn places(&self) -> usize {
        self.turns.len() / self.pairs
    }

    /// Turns heads that belong to one place.
    #[inline(always)]
    pub(crate) fn turn_at(&self, place: usize, heads: &mut [f32]) {
        turn(&self.turns[place * self.pairs..][..self.pairs], heads, 1.0);
    }

    /// Turns the queries and keys of a sequence, of `width` numbers each, which begin the `rows` of
    /// `stride` numbers; or turns their gradients back.
    #[inline(always)]
    pub(crate) fn turn(&self, (width, stride): (usize, usize), rows: &mut [f32], back: bool) {
        let sign = if back { -1.0 } else { 1.0 };
        for (row, turns) in rows.chunks_exact_mut(stride).zip(self.turns.chunks_exact(self.pairs)) {
            turn(turns, &mut row[..2 * width], sign);
        }
    }
}

#[inline(always)]
fn turn(turns: &[[f32; 2]], heads: &mut [f32], sign: f32) {
    for head in heads.chunks_exact_mut(2 * turns.len()) {
        let (first, second) = head.split_at_mut(turns.len());
        for ((x, y), [cos, sin]) in first.iter_mut().zip(second).zip(turns) {
            let sin = sin * sign;
            (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
        }
    }
}
