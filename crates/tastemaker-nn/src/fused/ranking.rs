//! The best rows of a table, fused with the product that scores them.

mod int8;

pub use int8::Int8Table;
use pulp::{Simd, WithSimd};

use super::matrix::{Panels, Precision, View, multiply_packed};

/// Hidden states that are scored together: the table is read once for all of them.
pub const ROWS: usize = 32;

/// Classes whose scores exist at a time: those of `ROWS` hidden states fill half of the nearest
/// cache.
const CLASSES: usize = 128;

/// Keeps the best of the classes it is offered.
pub trait Keeper {
    /// A class with a score below this need not be offered.
    fn bar(&self) -> f32;

    /// Offers a class that is not below the bar, or whose score is not a number.
    fn offer(&mut self, class: u32, score: f32);
}

/// Scores the rows of `table` [classes, width] by their dot products with each of at most
/// [`ROWS`] `hidden` states and offers them to that state's keeper; on the calling thread.
///
/// Most scores are below the bar: what is done with them is one comparison, while they are in
/// the cache.
///
/// # Panics
/// If there are more than [`ROWS`] keepers or not as many as hidden states.
pub fn rank<K: Keeper>(hidden: &[f32], table: &[f32], width: usize, keepers: &mut [K]) {
    assert!(keepers.len() <= ROWS && hidden.len() == keepers.len() * width, "one keeper a row");
    let (hidden, shape) = (View::rows(hidden, width), (width, keepers.len()));
    let hidden = Panels::new(Precision::F32, hidden.transposed(), shape);
    let mut bars = [f32::INFINITY; ROWS];
    for (bar, keeper) in bars.iter_mut().zip(keepers.iter()) {
        *bar = keeper.bar();
    }
    let mut scores = vec![0.0; CLASSES * ROWS];
    for (first, table) in (0..).step_by(CLASSES).zip(table.chunks(CLASSES * width)) {
        let classes = table.len() / width;
        multiply_packed((&mut scores, ROWS, false), classes, View::rows(table, width), &hidden);
        let scores = &scores[..classes * ROWS];
        pulp::Arch::new().dispatch(Offer {
            first,
            scores,
            bars: &mut bars,
            keepers: &mut *keepers,
        });
    }
}

/// Offers the classes from `first` on, whose scores lie in rows of [`ROWS`].
struct Offer<'a, K> {
    first: u32,
    scores: &'a [f32],
    bars: &'a mut [f32; ROWS],
    keepers: &'a mut [K],
}

impl<K: Keeper> WithSimd for Offer<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (class, scores) in (self.first..).zip(self.scores.as_chunks::<ROWS>().0) {
            // What is not a number is not below the bar.
            let mut all_below = true;
            for (score, bar) in scores.iter().zip(self.bars.iter()) {
                all_below &= score < bar;
            }
            if !all_below {
                offer(class, scores, self.bars, self.keepers);
            }
        }
    }
}

/// Offers a class to those whose bar it is not below.
fn offer<K: Keeper>(class: u32, scores: &[f32], bars: &mut [f32], keepers: &mut [K]) {
    for ((score, bar), keeper) in scores.iter().zip(bars).zip(keepers) {
        if !matches!(score.partial_cmp(bar), Some(std::cmp::Ordering::Less)) {
            keeper.offer(class, *score);
            *bar = keeper.bar();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keeps what is above a bar that rises with every offer.
    struct Record(f32, Vec<u32>);

    impl Keeper for Record {
        fn bar(&self) -> f32 {
            self.0
        }

        fn offer(&mut self, class: u32, score: f32) {
            assert!(score.is_nan() || score >= self.0);
            self.1.push(class);
            self.0 = self.0.max(score);
        }
    }

    proptest! {
        #[test]
        fn everything_not_below_its_bar_is_offered(
            rows in 1_usize..=ROWS,
            classes in 1_usize..400,
            width in 1_usize..20,
            seed in 0_usize..1000,
        ) {
            let numbers = |n: usize, step: usize| -> Vec<f32> {
                (0..n).map(|i| ((i + seed) * step % 13) as f32 - 6.0).collect()
            };
            let (mut hidden, table) = (numbers(rows * width, 5), numbers(classes * width, 7));
            hidden[0] = if seed % 5 == 0 { f32::NAN } else { hidden[0] };
            let mut keepers: Vec<Record> =
                (0..rows).map(|_| Record(f32::NEG_INFINITY, vec![])).collect();
            rank(&hidden, &table, width, &mut keepers);
            for (row, Record(_, offered)) in keepers.iter().enumerate() {
                let (mut bar, mut expected) = (f32::NEG_INFINITY, vec![]);
                for (class, entry) in (0..).zip(table.chunks_exact(width)) {
                    let hidden = &hidden[row * width..][..width];
                    let score: f32 = hidden.iter().zip(entry).map(|(a, b)| a * b).sum();
                    if score.is_nan() || score >= bar {
                        expected.push(class);
                        bar = bar.max(score);
                    }
                }
                prop_assert_eq!(offered, &expected, "row {}", row);
            }
        }
    }
}
