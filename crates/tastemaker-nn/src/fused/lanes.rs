//! How a packed batch is divided.

use std::ops::Range;

/// The most lanes a batch is divided into: the largest number of threads that can help, and the
/// number of partial gradients that are added up.
const MAX_LANES: usize = 8;

/// A lane is not made smaller than this many tokens.
const MIN_TOKENS: usize = 64;

/// Tokens handled together inside a lane, so that what one step leaves is still in the cache for
/// the next.
const CHUNK_TOKENS: usize = 128;

/// A batch of sequences, packed one after the other, and its division into lanes of about equal
/// work and into chunks within a lane. Both follow from the lengths alone, not from the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    lengths: Vec<usize>,
    starts: Vec<usize>,
    chunks: Vec<Vec<Chunk>>,
}

/// A few whole sequences of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Which sequences of the batch.
    pub(crate) sequences: Range<usize>,
    /// Which rows of the packed matrix.
    pub(crate) tokens: Range<usize>,
}

impl Lanes {
    /// Divides sequences of the given lengths, none of them empty.
    pub fn new(lengths: Vec<usize>) -> Self {
        debug_assert!(lengths.iter().all(|&length| length > 0), "no sequence is empty");
        let mut starts = vec![0];
        for length in &lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        let n_tokens = starts[lengths.len()];
        let a_lane = n_tokens.div_ceil(MAX_LANES).max(MIN_TOKENS);
        let chunks = cut(&starts, 0..lengths.len(), a_lane)
            .into_iter()
            .map(|lane| {
                let chunks = cut(&starts, lane, CHUNK_TOKENS).into_iter();
                chunks
                    .map(|sequences| Chunk {
                        tokens: starts[sequences.start]..starts[sequences.end],
                        sequences,
                    })
                    .collect()
            })
            .collect();
        Self { lengths, starts, chunks }
    }

    /// Tokens in all sequences together.
    pub fn n_tokens(&self) -> usize {
        self.starts[self.lengths.len()]
    }

    /// The lengths of the sequences.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The row of each sequence's last token.
    pub fn last_tokens(&self) -> impl Iterator<Item = usize> + '_ {
        self.starts[1..].iter().map(|end| end - 1)
    }

    /// Each token's place in its sequence, from 0.
    pub fn positions(&self) -> Vec<u32> {
        let count = |&length: &usize| 0..u32::try_from(length).expect("sequences are short");
        self.lengths.iter().flat_map(count).collect()
    }

    pub(crate) fn lanes(&self) -> &[Vec<Chunk>] {
        &self.chunks
    }

    /// `matrix` of `width` numbers a token, cut into one piece a lane.
    pub(crate) fn split_mut<'a>(&self, matrix: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let mut rest = matrix;
        let mut pieces = Vec::with_capacity(self.chunks.len());
        for lane in &self.chunks {
            let tokens: usize = lane.iter().map(|chunk| chunk.tokens.len()).sum();
            let (piece, after) = rest.split_at_mut(tokens * width);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// Cuts `sequences` into consecutive ranges of at least `tokens` tokens, the last one excepted.
fn cut(starts: &[usize], sequences: Range<usize>, tokens: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut first = sequences.start;
    for sequence in sequences.clone() {
        if starts[sequence + 1] - starts[first] >= tokens || sequence + 1 == sequences.end {
            ranges.push(first..sequence + 1);
            first = sequence + 1;
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_in_one_chunk_in_order() {
        let lanes = Lanes::new((1..100).collect());
        let rows: Vec<usize> =
            lanes.lanes().iter().flatten().flat_map(|chunk| chunk.tokens.clone()).collect();
        assert_eq!(rows, (0..lanes.n_tokens()).collect::<Vec<_>>());
        assert!(lanes.lanes().len() <= MAX_LANES);
    }
}
