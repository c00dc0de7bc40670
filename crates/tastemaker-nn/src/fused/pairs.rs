//! Something of every two tokens of a sequence.

use rayon::prelude::*;

use super::Lanes;

/// Something of every two tokens of each sequence of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs<T> {
    values: Vec<T>,
    starts: Vec<usize>,
}

impl<T: Copy + Default + Send> Pairs<T> {
    /// `fill(sequence, square)` writes what there is of a sequence's tokens to `square`
    /// [length, length], a row a token.
    pub(crate) fn new(lanes: &Lanes, fill: impl Fn(usize, &mut [T]) + Sync) -> Self {
        let mut starts = Vec::with_capacity(lanes.lengths().len());
        let mut end = 0;
        for length in lanes.lengths() {
            starts.push(end);
            end += length * length;
        }
        let mut values = vec![T::default(); end];
        let (mut rest, mut squares) = (&mut values[..], Vec::with_capacity(starts.len()));
        for length in lanes.lengths() {
            let (square, after) = rest.split_at_mut(length * length);
            squares.push(square);
            rest = after;
        }
        squares.into_par_iter().enumerate().for_each(|(sequence, square)| fill(sequence, square));
        Self { values, starts }
    }
}

impl<T> Pairs<T> {
    /// Of the tokens of a sequence: [length, length] and what follows it.
    pub(crate) fn of(&self, sequence: usize) -> &[T] {
        &self.values[self.starts[sequence]..]
    }

    /// Whether these are of a batch of such sequences.
    pub(crate) fn fits(&self, lanes: &Lanes) -> bool {
        let squares = lanes.lengths().iter().map(|length| length * length);
        self.starts.len() == lanes.lengths().len() && self.values.len() == squares.sum::<usize>()
    }
}
