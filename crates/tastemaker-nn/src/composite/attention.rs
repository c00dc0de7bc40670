//! Attention in plain tensor operations: a packed batch is spread out to one matrix a sequence, each
//! as long as the longest, so that its cost grows with sequences · longest².

use candle_core::{D, Device, Result, Tensor};

use crate::fused::{AttentionMask, Intervals, Lanes, buckets};

/// Nearly −∞, of which differences are still numbers.
const HIDDEN: f32 = -1e30;

/// A packed batch, spread out.
pub(super) struct Padded<'a> {
    lanes: &'a Lanes,
    longest: usize,
    /// The row of each place [sequences · longest]; one beyond the last where there is none.
    rows: Tensor,
    /// The place of each row [tokens].
    places: Tensor,
}

impl<'a> Padded<'a> {
    pub(super) fn new(lanes: &'a Lanes, device: &Device) -> Result<Self> {
        let (sequences, n) = (lanes.lengths().len(), lanes.n_tokens());
        let longest = lanes.lengths().iter().copied().max().unwrap_or(0);
        let number = |i: usize| u32::try_from(i).expect("a batch is small");
        let (mut rows, mut places) = (Vec::new(), Vec::with_capacity(n));
        for (sequence, &length) in lanes.lengths().iter().enumerate() {
            rows.extend((places.len()..places.len() + length).map(number));
            rows.resize((sequence + 1) * longest, number(n));
            places.extend((sequence * longest..).take(length).map(number));
        }
        let rows = Tensor::from_vec(rows, sequences * longest, device)?;
        Ok(Self { lanes, longest, rows, places: Tensor::from_vec(places, n, device)? })
    }

    fn sequences(&self) -> usize {
        self.lanes.lengths().len()
    }

    /// `n` matrices side by side [tokens, n · width] as n times [sequences, heads, longest, size],
    /// with zeros behind a sequence's end.
    pub(super) fn heads(&self, x: &Tensor, (n, heads): (usize, usize)) -> Result<Vec<Tensor>> {
        let size = x.dim(1)? / (n * heads);
        let spread = x.pad_with_zeros(0, 0, 1)?.index_select(&self.rows, 0)?;
        let spread = spread.reshape((self.sequences(), self.longest, n, heads, size))?;
        let each = spread.permute((2, 0, 3, 1, 4))?.contiguous()?;
        (0..n).map(|i| each.get(i)).collect()
    }

    /// [sequences, heads, longest, size] as [tokens, heads · size].
    pub(super) fn packed(&self, x: &Tensor) -> Result<Tensor> {
        let (sequences, heads, longest, size) = x.dims4()?;
        let rows = x.transpose(1, 2)?.contiguous()?;
        rows.reshape((sequences * longest, heads * size))?.index_select(&self.places, 0)
    }

    /// [sequences, 1, longest, longest]: 0 where a token sees another, [`HIDDEN`] elsewhere.
    pub(super) fn mask(&self, causal: bool, hidden: Option<&AttentionMask>) -> Result<Tensor> {
        self.pairs(HIDDEN, |sequence, length, (row, other)| {
            let sees = hidden.is_none_or(|mask| mask.0.of(sequence)[row * length + other]);
            if sees && (other <= row || !causal) { 0.0 } else { HIDDEN }
        })
    }

    /// [sequences, 1, 1, longest]: 0 where there is a token, [`HIDDEN`] elsewhere.
    pub(super) fn ends(&self) -> Result<Tensor> {
        let longest = self.longest;
        let of = |&length: &usize| {
            (0..longest).map(move |place| if place < length { 0.0 } else { HIDDEN })
        };
        let mask: Vec<f32> = self.lanes.lengths().iter().flat_map(of).collect();
        Tensor::from_vec(mask, (self.sequences(), 1, 1, longest), self.rows.device())
    }

    /// What distances add to the scores: [1, heads, longest, longest].
    pub(super) fn distances(&self, table: &Tensor, causal: bool) -> Result<Tensor> {
        let (n, buckets) = (self.longest, buckets(self.longest, causal));
        let of_pair = |i: usize| {
            u32::try_from(buckets[n - 1 + i % n - i / n]).expect("there are few buckets")
        };
        let of_pairs = Tensor::from_iter((0..n * n).map(of_pair), table.device())?;
        table.index_select(&of_pairs, 1)?.reshape((1, table.dim(0)?, n, n))
    }

    /// What the time between tokens adds to the scores: [sequences, heads, longest, longest].
    pub(super) fn apart(&self, table: &Tensor, intervals: &Intervals) -> Result<Tensor> {
        let (n, sequences) = (self.longest, self.sequences());
        let of_pairs = self.pairs(0_u32, |sequence, length, (row, other)| {
            u32::from(intervals.0.of(sequence)[row * length + other])
        })?;
        let apart = table.index_select(&of_pairs.flatten_all()?, 1)?;
        apart.reshape((table.dim(0)?, sequences, n, n))?.transpose(0, 1)?.contiguous()
    }

    /// `x` [sequences, heads, longest, size], each token turned by its place; see
    /// [`crate::fused::Positions`].
    pub(super) fn turned(&self, x: &Tensor, base: u32) -> Result<Tensor> {
        let size = x.dim(D::Minus1)?;
        let pairs = size / 2;
        let angles = (0..self.longest).flat_map(|place| {
            let angle = move |i| place as f64 * f64::from(base).powf(-2.0 * i as f64 / size as f64);
            (0..pairs).map(angle)
        });
        let angles = Tensor::from_iter(angles, x.device())?.reshape((self.longest, pairs))?;
        let [cos, sin] = [angles.cos()?.to_dtype(x.dtype())?, angles.sin()?.to_dtype(x.dtype())?];
        let [first, second] = [x.narrow(3, 0, pairs)?, x.narrow(3, pairs, pairs)?];
        let a = first.broadcast_mul(&cos)?.sub(&second.broadcast_mul(&sin)?)?;
        let b = first.broadcast_mul(&sin)?.add(&second.broadcast_mul(&cos)?)?;
        Tensor::cat(&[a, b], 3)
    }

    /// Something of every two tokens of a sequence, by the sequence's number, its length and their
    /// places: [sequences, 1, longest, longest], with `nothing` behind a sequence's end.
    fn pairs<T: candle_core::WithDType>(
        &self,
        nothing: T,
        of: impl Fn(usize, usize, (usize, usize)) -> T,
    ) -> Result<Tensor> {
        let (n, sequences) = (self.longest, self.sequences());
        let mut all = vec![nothing; sequences * n * n];
        for (sequence, &length) in self.lanes.lengths().iter().enumerate() {
            for row in 0..length {
                for other in 0..length {
                    all[(sequence * n + row) * n + other] = of(sequence, length, (row, other));
                }
            }
        }
        Tensor::from_vec(all, (sequences, 1, n, n), self.rows.device())
    }
}

/// Softmax over the last dimension.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    let powers = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}
