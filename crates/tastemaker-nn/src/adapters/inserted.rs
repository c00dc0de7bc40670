//! The adapters of one model.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::{AnyAdapter, Own};
use crate::Result;
use crate::fused::{Lanes, Precision};
use crate::parameters::Parameters;

/// The adapters of a model, in the order in which they were inserted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inserted {
    adapters: Vec<AnyAdapter>,
    prefixes: Vec<String>,
}

impl FromIterator<AnyAdapter> for Inserted {
    fn from_iter<I: IntoIterator<Item = AnyAdapter>>(adapters: I) -> Self {
        let mut all = Self::default();
        adapters.into_iter().for_each(|adapter| all.push(adapter));
        all
    }
}

impl Inserted {
    /// Adds an adapter whose parameters the model has.
    pub(crate) fn push(&mut self, adapter: AnyAdapter) {
        self.prefixes.push(adapter.prefix());
        self.adapters.push(adapter);
    }

    /// The adapters.
    pub(crate) fn adapters(&self) -> &[AnyAdapter] {
        &self.adapters
    }

    /// Whether any adds to the blocks' weights.
    pub(crate) fn changes(&self) -> bool {
        self.adapters.iter().any(|adapter| adapter.as_dyn().is_mergeable())
    }

    /// Those that are left once the changes are merged.
    pub(crate) fn without_changes(&self) -> Self {
        let left = self.adapters.iter().filter(|adapter| !adapter.as_dyn().is_mergeable());
        left.cloned().collect()
    }

    fn each<'a>(
        &'a self,
        parameters: &'a Parameters,
        precision: Precision,
    ) -> impl Iterator<Item = (&'a AnyAdapter, Own<'a>)> {
        let own = move |prefix| Own { parameters, prefix, precision };
        self.adapters.iter().zip(&self.prefixes).map(move |(a, prefix)| (a, own(prefix)))
    }

    /// A block's `weight` with what adapters add to it.
    pub(crate) fn changed(
        &self,
        parameters: &Parameters,
        (layer, name): (usize, &str),
        weight: &Tensor,
    ) -> Result<Tensor> {
        let mut weight = weight.clone();
        for (adapter, own) in self.each(parameters, Precision::F32) {
            if let Some(change) = adapter.as_dyn().change(own, layer, name)? {
                weight = (weight + change)?;
            }
        }
        Ok(weight)
    }

    /// What adapters make of the states after block `layer`.
    pub(crate) fn after_block(
        &self,
        (parameters, precision): (&Parameters, Precision),
        layer: usize,
        mut x: Tensor,
    ) -> Result<Tensor> {
        for (adapter, own) in self.each(parameters, precision) {
            if let Some(changed) = adapter.as_dyn().after_block(own, layer, &x)? {
                x = changed;
            }
        }
        Ok(x)
    }

    /// What adapters make of the states after the last norm.
    pub(crate) fn after_norm(
        &self,
        (parameters, precision): (&Parameters, Precision),
        mut x: Tensor,
    ) -> Result<Tensor> {
        for (adapter, own) in self.each(parameters, precision) {
            if let Some(changed) = adapter.as_dyn().after_norm(own, &x)? {
                x = changed;
            }
        }
        Ok(x)
    }

    /// Where prompts stand in a batch; `None` if there are none.
    pub(crate) fn prompted(&self, lanes: &Lanes) -> Option<Prompted> {
        let lengths = self.adapters.iter().map(|adapter| adapter.as_dyn().prompt_length());
        let total = lengths.sum();
        (total > 0).then(|| Prompted::new(lanes, total))
    }

    /// The states with this layer's prompts in their places before every sequence.
    pub(crate) fn prompts(
        &self,
        (parameters, precision): (&Parameters, Precision),
        prompted: &Prompted,
        layer: usize,
        mut x: Tensor,
    ) -> Result<Tensor> {
        let mut first = 0;
        let mut begin = Vec::new();
        for (adapter, own) in self.each(parameters, precision) {
            let n = adapter.as_dyn().prompt_length();
            if n == 0 {
                continue;
            }
            if let Some(vectors) = adapter.as_dyn().prompt(own, layer)? {
                if layer == 0 {
                    begin.push(vectors);
                } else {
                    x = prompted.replace(&vectors, first, &x)?;
                }
            }
            first += n;
        }
        if layer == 0 { prompted.insert(&Tensor::cat(&begin, 0)?, &x) } else { Ok(x) }
    }
}

/// A batch whose sequences all begin with the same vectors.
pub(crate) struct Prompted {
    /// The sequences with their prompts.
    pub(crate) lanes: Arc<Lanes>,
    lengths: Vec<usize>,
    n: usize,
}

impl Prompted {
    fn new(lanes: &Lanes, n: usize) -> Self {
        let lengths = lanes.lengths().to_vec();
        let longer = lengths.iter().map(|length| length + n).collect();
        Self { lanes: Arc::new(Lanes::new(longer)), lengths, n }
    }

    /// The rows of each sequence, prompts included, in the batch with prompts.
    fn sequences(&self) -> impl Iterator<Item = Range<usize>> {
        self.lengths.iter().scan(0, |start, length| {
            let rows = *start..*start + self.n + length;
            *start = rows.end;
            Some(rows)
        })
    }

    /// `x` [tokens, width] with `vectors` [n, width] before every sequence.
    fn insert(&self, vectors: &Tensor, x: &Tensor) -> Result<Tensor> {
        let rows = self.sequences().enumerate().flat_map(|(before, rows)| {
            // Each sequence before has as many prompts as these.
            let item = rows.start - before * self.n;
            (0..self.n).chain((item..).map(|item| self.n + item)).take(rows.len())
        });
        gather(&[vectors, x], rows)
    }

    /// `x`, which has prompts, with `vectors` in the place of those from `first` on.
    fn replace(&self, vectors: &Tensor, first: usize, x: &Tensor) -> Result<Tensor> {
        let n = vectors.dim(0)?;
        let rows = self.sequences().flat_map(|rows| {
            let new = rows.start + first..rows.start + first + n;
            rows.map(move |row| if new.contains(&row) { row - new.start } else { n + row })
        });
        gather(&[vectors, x], rows)
    }

    /// `x`, which has prompts, without them.
    pub(crate) fn remove(&self, x: &Tensor) -> Result<Tensor> {
        gather(&[x], self.sequences().flat_map(|rows| rows.skip(self.n)))
    }
}

/// These rows of `parts`, one below the other.
fn gather(parts: &[&Tensor], rows: impl Iterator<Item = usize>) -> Result<Tensor> {
    let rows: Vec<u32> =
        rows.map(|row| u32::try_from(row).expect("a batch has fewer than 2^32 tokens")).collect();
    let n = rows.len();
    let rows = Tensor::from_vec(rows, n, parts[0].device())?;
    Ok(Tensor::cat(parts, 0)?.index_select(&rows, 0)?)
}
