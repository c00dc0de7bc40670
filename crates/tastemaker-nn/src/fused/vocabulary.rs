//! From states to tokens, where nothing learns.

use rayon::prelude::*;

use super::linear::Pass;
use super::matrix::{Panels, Precision, View, multiply_packed};
use super::quantised::{FEW, Matrix, Quantised, multiply_quantised};
use super::scratch::Scratch;
use super::simd::{exp, max, vectorised};

/// Tokens whose logits are made at a time.
const TOKENS: usize = 4096;

/// The table of a language model's tokens, packed for products with states.
#[derive(Debug)]
pub struct Vocabulary {
    width: usize,
    n_tokens: usize,
    /// Of [`TOKENS`] each.
    parts: Vec<Panels>,
    /// In codes, if it came in such.
    quantised: Vec<Quantised>,
}

impl Vocabulary {
    /// From a table [tokens, width], whose factors are rounded to `precision`.
    pub fn new(table: Matrix, n_tokens: usize, precision: Precision) -> Self {
        let Matrix { values: table, quantised } = table;
        let width = table.len() / n_tokens.max(1);
        let pack = |part: &[f32]| Pass::Forward.pack(precision, part, part.len() / width);
        Self {
            width,
            n_tokens,
            parts: table.par_chunks((TOKENS * width).max(1)).map(pack).collect(),
            quantised,
        }
    }

    /// The logits of all tokens after `states`: [states, tokens].
    pub fn logits(&self, states: &[f32]) -> Vec<f32> {
        let rows = states.len() / self.width;
        if rows <= FEW && !self.quantised.is_empty() {
            return multiply_quantised(&self.quantised, states);
        }
        let parts = self.parts.par_iter().map(|part| {
            let n = part.columns();
            let mut logits = Scratch::new(rows * n);
            multiply_packed((&mut logits, n, false), rows, View::rows(states, self.width), part);
            logits
        });
        let parts: Vec<Scratch> = parts.collect();
        let mut all = Vec::with_capacity(rows * self.n_tokens);
        for row in 0..rows {
            for (panels, part) in self.parts.iter().zip(&parts) {
                all.extend_from_slice(&part[row * panels.columns()..][..panels.columns()]);
            }
        }
        all
    }

    /// The logarithm of the probability of each target after its state, by softmax over all tokens.
    /// No more logits exist at a time than a few tokens have for all states.
    pub fn log_probabilities(&self, states: &[f32], targets: &[u32]) -> Vec<f32> {
        assert_eq!(states.len(), targets.len() * self.width, "a state for each target");
        let known: Vec<Vec<Known>> = (0..self.parts.len())
            .into_par_iter()
            .map(|part| known(self, part, states, targets))
            .collect();
        let log_probability = |(row, &target): (usize, &u32)| {
            let largest = known.iter().map(|of| of[row].largest).fold(f32::NEG_INFINITY, f32::max);
            let total: f32 =
                known.iter().map(|of| of[row].total * exp(of[row].largest - largest)).sum();
            known[target as usize / TOKENS][row].of_target - largest - total.ln()
        };
        targets.iter().enumerate().map(log_probability).collect()
    }

    /// What one part's logits say of each state.
    #[inline(always)]
    fn known(&self, part: usize, states: &[f32], targets: &[u32]) -> Vec<Known> {
        /// States at a time.
        const ROWS: usize = 64;
        let panels = &self.parts[part];
        let n = panels.columns();
        let mut logits = Scratch::new(ROWS.min(targets.len()) * n);
        let mut known = Vec::with_capacity(targets.len());
        for (states, targets) in states.chunks(ROWS * self.width).zip(targets.chunks(ROWS)) {
            let states = View::rows(states, self.width);
            multiply_packed((&mut logits, n, false), targets.len(), states, panels);
            for (logits, &target) in logits.chunks_exact_mut(n).zip(targets) {
                let own = (target as usize).checked_sub(part * TOKENS);
                let of_target = own.and_then(|own| logits.get(own)).copied().unwrap_or_default();
                let largest = max(logits);
                let mut sums = [0.0; 16];
                for (i, &logit) in logits.iter().enumerate() {
                    sums[i % 16] += exp(logit - largest);
                }
                known.push(Known { largest, total: sums.iter().sum(), of_target });
            }
        }
        known
    }
}

/// What a part's logits say of a state.
struct Known {
    largest: f32,
    /// Σ exp(logit − largest).
    total: f32,
    /// The target's logit, if the target is in the part.
    of_target: f32,
}

vectorised! {
    fn known<'a>(
        vocabulary: &'a Vocabulary,
        part: usize,
        states: &'a [f32],
        targets: &'a [u32],
    ) -> Vec<Known> = Vocabulary::known;
}
