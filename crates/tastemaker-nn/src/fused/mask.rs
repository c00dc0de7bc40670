//! Which tokens a token looks at, where neither all nor those before it are right.

use super::Lanes;
use super::pairs::Pairs;

/// An arbitrary mask over each sequence of a batch, as the pseudo-masked objectives need it
/// (Bao et al. 2020, `UniLMv2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionMask(pub(crate) Pairs<bool>);

impl AttentionMask {
    /// `sees(sequence, token, other)` says whether a token looks at another of its sequence, both
    /// counted from 0; itself it always sees.
    pub fn new(lanes: &Lanes, sees: impl Fn(usize, usize, usize) -> bool + Sync) -> Self {
        Self(Pairs::new(lanes, |sequence, square| {
            let length = lanes.lengths()[sequence];
            for (token, row) in square.chunks_exact_mut(length).enumerate() {
                for (other, seen) in row.iter_mut().enumerate() {
                    *seen = other == token || sees(sequence, token, other);
                }
            }
        }))
    }
}
