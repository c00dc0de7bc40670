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

/// The same where tokens look at an encoder's states, each state counted as a token: they are only
/// made keys and values of.
const CHUNK_TOKENS_READING: usize = 4 * CHUNK_TOKENS;

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
        let starts = starts(&lengths);
        Self::divided(lengths, &starts, CHUNK_TOKENS)
    }

    /// Divides sequences of the given lengths, none of them empty, whose tokens look at an encoder's
    /// states of the sequences of `memory`, one for each.
    pub fn reading(lengths: Vec<usize>, memory: &Self) -> Self {
        let work = starts(&lengths).into_iter().zip(&memory.starts).map(|(own, read)| own + read);
        let work: Vec<usize> = work.collect();
        if work.len() <= lengths.len() {
            // There are too few to read, which whoever reads them finds out.
            return Self::new(lengths);
        }
        Self::divided(lengths, &work, CHUNK_TOKENS_READING)
    }

    /// Divides sequences of which so much work stands before each, and after the last.
    fn divided(lengths: Vec<usize>, work: &[usize], a_chunk: usize) -> Self {
        debug_assert!(lengths.iter().all(|&length| length > 0), "no sequence is empty");
        let starts = starts(&lengths);
        let a_lane = work[lengths.len()].div_ceil(MAX_LANES).max(MIN_TOKENS);
        let chunks = cut(work, 0..lengths.len(), a_lane)
            .into_iter()
            .map(|lane| {
                let chunks = cut(work, lane, a_chunk).into_iter();
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

    /// The rows of some consecutive sequences.
    pub(crate) fn rows(&self, sequences: Range<usize>) -> Range<usize> {
        self.starts[sequences.start]..self.starts[sequences.end]
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

/// Where each of the sequences begins, and where the last one ends.
fn starts(lengths: &[usize]) -> Vec<usize> {
    let mut starts = vec![0];
    for length in lengths {
        starts.push(starts[starts.len() - 1] + length);
    }
    starts
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

    #[test]
    fn sequences_that_read_are_divided_by_what_they_read() {
        // Eight sequences of one token each, of which the last reads as much as all others.
        let memory = Lanes::new(vec![100, 100, 100, 100, 100, 100, 100, 700]);
        let lanes = Lanes::reading(vec![1; 8], &memory);
        let of_lane = |lane: &Vec<Chunk>| lane.iter().map(|chunk| chunk.tokens.len()).sum();
        let tokens: Vec<usize> = lanes.lanes().iter().map(of_lane).collect();
        assert_eq!(tokens, [2, 2, 2, 2]);
        assert_eq!(memory.rows(2..8), 200..1400);
    }
}
