//! Which tokens a token looks at, where neither all nor those before it are right.

use super::Lanes;

/// An arbitrary mask over each sequence of a batch, as the pseudo-masked objectives need it
/// (Bao et al. 2020, `UniLMv2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionMask {
    sees: Vec<bool>,
    starts: Vec<usize>,
}

impl AttentionMask {
    /// `sees(sequence, token, other)` says whether a token looks at another of its sequence, both
    /// counted from 0; itself it always sees.
    pub fn new(lanes: &Lanes, sees: impl Fn(usize, usize, usize) -> bool) -> Self {
        let (mut all, mut starts) = (Vec::new(), Vec::new());
        for (sequence, &length) in lanes.lengths().iter().enumerate() {
            starts.push(all.len());
            for token in 0..length {
                let row = (0..length).map(|other| other == token || sees(sequence, token, other));
                all.extend(row);
            }
        }
        Self { sees: all, starts }
    }

    /// What the tokens of a sequence see: [length, length] and what follows it.
    pub(crate) fn of(&self, sequence: usize) -> &[bool] {
        &self.sees[self.starts[sequence]..]
    }

    /// Whether the mask is for a batch of such sequences.
    pub(crate) fn fits(&self, lanes: &Lanes) -> bool {
        let squares = lanes.lengths().iter().map(|length| length * length);
        self.starts.len() == lanes.lengths().len() && self.sees.len() == squares.sum::<usize>()
    }
}
