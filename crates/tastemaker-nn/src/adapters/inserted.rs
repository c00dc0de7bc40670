//! The adapters of one model.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::{Adapter, AnyAdapter, Own, Place, SOFT};
use crate::fused::{Lanes, Precision};
use crate::parameters::Parameters;
use crate::transformer::Input;
use crate::{Error, Result};

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
        let own = move |prefix| Own { parameters, prefix, precision, profiles: &[] };
        self.adapters.iter().zip(&self.prefixes).map(move |(a, prefix)| (a, own(prefix)))
    }

    /// A block's `weight` with what adapters add to it.
    pub(crate) fn changed(
        &self,
        parameters: &Parameters,
        (block, name): (&str, &str),
        weight: &Tensor,
    ) -> Result<Tensor> {
        let mut weight = weight.clone();
        for (adapter, own) in self.each(parameters, Precision::F32) {
            if let Some(change) = adapter.as_dyn().change(own, block, name)? {
                weight = (weight + change)?;
            }
        }
        Ok(weight)
    }

    /// What adapters make of the states after the block of this name.
    pub(crate) fn after_block(
        &self,
        (parameters, precision): (&Parameters, Precision),
        block: &str,
        mut x: Tensor,
    ) -> Result<Tensor> {
        for (adapter, own) in self.each(parameters, precision) {
            if let Some(changed) = adapter.as_dyn().after_block(own, block, &x)? {
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

    /// Where prompts stand in the sequences of `input`, whose tokens see only what came before them
    /// if `causal`; `None` if there are none.
    ///
    /// # Errors
    /// If there are profiles, but not one a sequence.
    pub(crate) fn prompted(&self, input: &Input, causal: bool) -> Result<Option<Prompted>> {
        let of = |place| {
            self.adapters.iter().map(AnyAdapter::as_dyn).filter(move |a| a.place() == place)
        };
        let length = |place| of(place).map(Adapter::prompt_length).sum();
        let (before, after): (usize, usize) = (length(Place::Before), length(Place::After));
        if before + after == 0 {
            return Ok(None);
        }
        let (n, profiles) = (input.lanes.lengths().len(), &input.profiles);
        if !profiles.is_empty() && profiles.len() != n {
            return Err(Error::setting("profiles", profiles.len(), format!("{n}, one a sequence")));
        }
        let mut prompted = Prompted::new(&input.lanes, (before, after), causal);
        prompted.profiles = profiles.clone();
        Ok(Some(prompted))
    }

    /// The vectors of soft prompts that stand before every sequence, and of those within prompts:
    /// [tokens, width] each.
    ///
    /// # Errors
    /// If there is something beside them.
    pub(crate) fn soft_prompts(&self, parameters: &Parameters) -> Result<[Vec<f32>; 2]> {
        let mut vectors = [vec![], vec![]];
        for (adapter, own) in self.each(parameters, Precision::F32) {
            let (soft, place) =
                (matches!(adapter, AnyAdapter::SoftPrompt(_)), adapter.as_dyn().place());
            let prompt = adapter.as_dyn().prompt(own, 0)?;
            let Some(prompt) = prompt.filter(|_| soft && place != Place::After) else {
                let expected = "a soft prompt before or within, or what is merged";
                return Err(Error::setting("an adapter", adapter.name(), expected));
            };
            let of_place = &mut vectors[usize::from(place == Place::Within)];
            of_place.extend(prompt.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(vectors)
    }

    /// The embeddings `x` [tokens, width] with those of soft tokens, which are numbered from [`SOFT`]
    /// on, in their places; `places` are what is added to each of them, if anything.
    ///
    /// # Errors
    /// If one has no vector.
    pub(crate) fn within(
        &self,
        parameters: &Parameters,
        tokens: &[u32],
        (x, places): (Tensor, impl Fn(&[usize]) -> Result<Option<Tensor>>),
    ) -> Result<Tensor> {
        let soft: Vec<usize> = (0..tokens.len()).filter(|&row| tokens[row] >= SOFT).collect();
        if soft.is_empty() {
            return Ok(x);
        }
        let mut all = self.each(parameters, Precision::F32);
        let own = all.find(|(adapter, _)| adapter.as_dyn().place() == Place::Within);
        let vectors = own.map(|(adapter, own)| adapter.as_dyn().prompt(own, 0)).transpose()?;
        let n = vectors.iter().flatten().map(|vectors| vectors.dims()[0]).sum();
        let number = |&row: &usize| (tokens[row] - SOFT) as usize;
        let (Some(Some(vectors)), None) = (vectors, soft.iter().map(number).find(|&i| i >= n))
        else {
            let found = soft.iter().map(number).max().unwrap_or_default();
            let expected = format!("one below {n}, of which there are vectors within prompts");
            return Err(Error::setting("a soft token", found, expected));
        };
        let mut own = gather(&[&vectors], soft.iter().map(number))?;
        if let Some(places) = places(&soft)? {
            own = (own + places)?;
        }
        let mut next = 0..soft.len();
        let row = |row: usize| {
            let soft = if tokens[row] >= SOFT { next.next() } else { None };
            soft.map_or(row, |soft| tokens.len() + soft)
        };
        gather(&[&x, &own], (0..tokens.len()).map(row))
    }

    /// The states with this layer's prompts in their places around every sequence.
    pub(crate) fn prompts(
        &self,
        (parameters, precision): (&Parameters, Precision),
        prompted: &Prompted,
        layer: usize,
        mut x: Tensor,
    ) -> Result<Tensor> {
        let (mut before, mut after) = (0, 0);
        let mut pieces = Vec::new();
        for (adapter, own) in self.each(parameters, precision) {
            let (adapter, own) = (adapter.as_dyn(), Own { profiles: &prompted.profiles, ..own });
            let (n, place) = (adapter.prompt_length(), adapter.place());
            if n == 0 || place == Place::Within {
                continue;
            }
            let next = if place.is_before() { &mut before } else { &mut after };
            if let Some(vectors) = adapter.prompt(own, layer)? {
                pieces.push(Piece { vectors, place, first: *next, n });
            }
            *next += n;
        }
        if layer == 0 {
            return prompted.insert(&pieces, &x);
        }
        for piece in &pieces {
            x = prompted.replace(piece, &x)?;
        }
        Ok(x)
    }
}

/// The vectors of one prompt where a block begins.
struct Piece {
    /// [n, width], or [sequences · n, width].
    vectors: Tensor,
    place: Place,
    /// How many vectors of other prompts come before it in its place.
    first: usize,
    n: usize,
}

impl Piece {
    /// The row of the `i`-th vector of a sequence.
    fn row(&self, sequence: usize, i: usize) -> usize {
        let shared = self.vectors.dims()[0] == self.n;
        if shared { i } else { sequence * self.n + i }
    }
}

/// A batch around whose sequences prompts stand.
pub(crate) struct Prompted {
    /// The sequences with their prompts.
    pub(crate) lanes: Arc<Lanes>,
    lengths: Vec<usize>,
    before: usize,
    after: usize,
    /// Whether what a sequence's last token has found is read at the last vector after it.
    reads_after: bool,
    profiles: Arc<[Vec<u32>]>,
}

impl Prompted {
    fn new(lanes: &Lanes, (before, after): (usize, usize), causal: bool) -> Self {
        let lengths = lanes.lengths().to_vec();
        let longer = lengths.iter().map(|length| before + length + after).collect();
        let (lanes, reads_after) = (Arc::new(Lanes::new(longer)), causal && after > 0);
        Self { lanes, lengths, before, after, reads_after, profiles: Arc::default() }
    }

    /// The rows of each sequence, without its prompts, in the batch with prompts.
    fn sequences(&self) -> impl Iterator<Item = Range<usize>> {
        self.lengths.iter().scan(0, |end, length| {
            let start = *end + self.before;
            *end = start + length + self.after;
            Some(start..start + length)
        })
    }

    /// The row at which a sequence's last token is read.
    fn last(&self, sequence: &Range<usize>) -> usize {
        sequence.end - 1 + if self.reads_after { self.after } else { 0 }
    }

    /// For each sequence, the row at which its last token is read.
    pub(crate) fn last_rows(&self) -> Vec<usize> {
        self.sequences().map(|sequence| self.last(&sequence)).collect()
    }

    /// `x` [tokens, width] with the vectors of all prompts around every sequence.
    fn insert(&self, pieces: &[Piece], x: &Tensor) -> Result<Tensor> {
        let parts: Vec<&Tensor> = pieces.iter().map(|piece| &piece.vectors).chain([x]).collect();
        let starts: Vec<usize> = parts
            .iter()
            .scan(0, |end, part| {
                *end += part.dims()[0];
                Some(*end - part.dims()[0])
            })
            .collect();
        let (mut rows, mut item) =
            (Vec::with_capacity(self.lanes.n_tokens()), starts[pieces.len()]);
        for (sequence, &length) in self.lengths.iter().enumerate() {
            let at = |place| {
                let here = pieces.iter().zip(&starts).filter(move |(p, _)| p.place == place);
                here.flat_map(move |(p, start)| (0..p.n).map(move |i| start + p.row(sequence, i)))
            };
            rows.extend(at(Place::Before));
            rows.extend(item..item + length);
            rows.extend(at(Place::After));
            item += length;
        }
        gather(&parts, rows.into_iter())
    }

    /// `x`, which has prompts, with the vectors of `piece` in their place.
    fn replace(&self, piece: &Piece, x: &Tensor) -> Result<Tensor> {
        let others = piece.vectors.dim(0)?;
        let rows = self.sequences().enumerate().flat_map(|(sequence, items)| {
            let start = match piece.place {
                Place::Before => items.start - self.before,
                Place::After | Place::Within => items.end,
            };
            let new = start + piece.first..start + piece.first + piece.n;
            let all = items.start - self.before..items.end + self.after;
            let old_or_new = move |row| {
                if new.contains(&row) { piece.row(sequence, row - new.start) } else { others + row }
            };
            all.map(old_or_new)
        });
        gather(&[&piece.vectors, x], rows)
    }

    /// The times of a batch's tokens with those of the prompts, which are unknown.
    pub(crate) fn times(&self, mut times: &[f64]) -> Vec<f64> {
        let mut all = Vec::new();
        for &length in &self.lengths {
            let (own, rest) = times.split_at(length);
            all.extend(std::iter::repeat_n(f64::NAN, self.before).chain(own.iter().copied()));
            all.extend(std::iter::repeat_n(f64::NAN, self.after));
            times = rest;
        }
        all
    }

    /// `x`, which has prompts, without them.
    pub(crate) fn remove(&self, x: &Tensor) -> Result<Tensor> {
        let rows = self.sequences().flat_map(|items| {
            let last = self.last(&items);
            (items.start..items.end - 1).chain([last])
        });
        gather(&[x], rows)
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
