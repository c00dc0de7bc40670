//! Rows of a table that a mixture of linear maps makes of vectors from elsewhere.

use std::sync::Arc;

use rayon::prelude::*;

use super::catalog_softmax::add_scaled;
use super::matrix::{Panels, Precision, View, multiply, multiply_add, multiply_packed};
use super::norm;
use super::simd::{dot, exp, vectorised};

/// Rows that one task makes.
const ROWS: usize = 256;

/// What the first rows of a table E [rows, width] are made of beside what they have of their own:
///
/// `Eᵢ = Iᵢ + Σₖ gᵢₖ (xᵢ Wₖ + cₖ)` with `gᵢ = softmax(xᵢ Γ)`,
///
/// where x [n, inputs] are vectors that do not learn, such as a sentence encoder's of the items'
/// texts. The first rows may have nothing of their own; then I has only the last.
///
/// This is the adaptor of `UniSRec` (Hou et al. 2022): each expert is a parametric whitening
/// `(x − b) W`, here written with `c = −b W`, and the gate is a softmax. The noise that the reference
/// implementation adds to the gate in training is left out.
#[derive(Clone, Debug)]
pub struct Mixture {
    vectors: Arc<[f32]>,
    inputs: usize,
    experts: usize,
}

/// The numbers of a [`Mixture`] that learn, or their gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureWeights<T> {
    /// W [experts, inputs, width].
    pub maps: T,
    /// c [experts, width].
    pub offsets: T,
    /// Γ [inputs, experts].
    pub gate: T,
}

impl Mixture {
    /// Of `vectors` [n, inputs] by so many `experts`.
    pub fn new(vectors: Arc<[f32]>, inputs: usize, experts: usize) -> Self {
        debug_assert!(vectors.len().is_multiple_of(inputs), "whole vectors");
        Self { vectors, inputs, experts }
    }

    /// How many rows are made.
    pub fn n_rows(&self) -> usize {
        self.vectors.len() / self.inputs
    }

    /// Width of a vector.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Linear maps that are mixed.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// The vectors [n, inputs].
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// The table E [rows, width] of I, `own`.
    pub fn compose(
        &self,
        own: &[f32],
        weights: &MixtureWeights<&[f32]>,
        rows: usize,
        width: usize,
    ) -> Vec<f32> {
        let mut table = vec![0.0; rows * width];
        let without = table.len() - own.len();
        table[without..].copy_from_slice(own);
        let shape = (self.inputs, width);
        let map = |map| Panels::new(Precision::F32, View::rows(map, width), shape);
        let maps: Vec<Panels> = weights.maps.chunks_exact(self.inputs * width).map(map).collect();
        let made = table[..self.n_rows() * width].par_chunks_mut(ROWS * width);
        made.zip(self.vectors.par_chunks(ROWS * self.inputs)).for_each(|(table, x)| {
            let rows = x.len() / self.inputs;
            let gates = self.gates(x, weights.gate);
            let mut of_expert = vec![0.0; table.len()];
            for (k, map) in maps.iter().enumerate() {
                let x = View::rows(x, self.inputs);
                multiply_packed((&mut of_expert, width, false), rows, x, map);
                let offset = &weights.offsets[k * width..][..width];
                mix(&of_expert, offset, (&gates[k..], self.experts), table);
            }
        });
        table
    }

    /// The gradients of the weights from that of the rows of E, or of some of them.
    pub fn gradients(
        &self,
        weights: &MixtureWeights<&[f32]>,
        (rows, gradient): (Option<&[u32]>, &[f32]),
        width: usize,
    ) -> MixtureWeights<Vec<f32>> {
        let some: Vec<f32>;
        let x: &[f32] = match rows {
            None => &self.vectors,
            Some(rows) => {
                let row = |&row: &u32| &self.vectors[row as usize * self.inputs..][..self.inputs];
                some = rows.iter().flat_map(row).copied().collect();
                &some
            }
        };
        let n = x.len() / self.inputs;
        let gradient = &gradient[..n * width];
        let gates: Vec<f32> = x
            .par_chunks(ROWS * self.inputs)
            .flat_map_iter(|x| self.gates(x, weights.gate))
            .collect();
        let of = |k: usize| self.of_expert(k, (x, gradient, &gates), weights, width);
        let experts: Vec<OfExpert> = (0..self.experts).into_par_iter().map(of).collect();
        let mut logits = gates;
        for (row, logits) in logits.chunks_exact_mut(self.experts).enumerate() {
            // dlogit = g (dg − Σ g dg).
            let mean: f32 = logits.iter().zip(&experts).map(|(g, of)| g * of.gates[row]).sum();
            logits.iter_mut().zip(&experts).for_each(|(g, of)| *g *= of.gates[row] - mean);
        }
        let mut gate = vec![0.0; self.inputs * self.experts];
        let x = View::rows(x, self.inputs).transposed();
        let shape = (self.inputs, self.experts, n);
        multiply(&mut gate, self.experts, shape, x, View::rows(&logits, self.experts));
        let (mut maps, mut offsets) = (Vec::new(), Vec::new());
        for expert in experts {
            maps.extend(expert.map);
            offsets.extend(expert.offset);
        }
        MixtureWeights { maps, offsets, gate }
    }

    /// The softmax of x Γ, for the rows of `x`: [rows, experts].
    fn gates(&self, x: &[f32], gate: &[f32]) -> Vec<f32> {
        let shape = (x.len() / self.inputs, self.experts, self.inputs);
        let mut gates = vec![0.0; shape.0 * self.experts];
        let (x, gate) = (View::rows(x, self.inputs), View::rows(gate, self.experts));
        multiply(&mut gates, self.experts, shape, x, gate);
        softmax(&mut gates, self.experts);
        gates
    }

    /// The gradients of what expert `k` has.
    fn of_expert(
        &self,
        k: usize,
        (x, gradient, gates): (&[f32], &[f32], &[f32]),
        weights: &MixtureWeights<&[f32]>,
        width: usize,
    ) -> OfExpert {
        let map = &weights.maps[k * self.inputs * width..][..self.inputs * width];
        let offset = &weights.offsets[k * width..][..width];
        let map = Panels::new(Precision::F32, View::rows(map, width), (self.inputs, width));
        let mut of = OfExpert {
            map: vec![0.0; self.inputs * width],
            offset: vec![0.0; width],
            gates: Vec::with_capacity(x.len() / self.inputs),
        };
        let parts = x.chunks(ROWS * self.inputs).zip(gradient.chunks(ROWS * width));
        for ((x, gradient), gates) in parts.zip(gates.chunks(ROWS * self.experts)) {
            let rows = x.len() / self.inputs;
            let mut made = vec![0.0; rows * width];
            let x = View::rows(x, self.inputs);
            multiply_packed((&mut made, width, false), rows, x, &map);
            let gates = (&gates[k..], self.experts);
            // What the expert made is no longer needed once its gate has its gradient.
            of_gates((&mut made, offset), gradient, gates, &mut of);
            let shape = (self.inputs, width, rows);
            multiply_add(&mut of.map, width, shape, x.transposed(), View::rows(&made, width));
        }
        of
    }
}

/// The gradients of what an expert has, and of its gate in each row.
struct OfExpert {
    map: Vec<f32>,
    offset: Vec<f32>,
    gates: Vec<f32>,
}

/// The gates of one expert in some rows: the first is at 0, the others `stride` apart.
type Gates<'a> = (&'a [f32], usize);

/// `out += g (made + offset)` for each row and its gate.
#[inline(always)]
fn add_expert(made: &[f32], offset: &[f32], (gates, stride): Gates<'_>, out: &mut [f32]) {
    let width = offset.len();
    let rows = made.chunks_exact(width).zip(out.chunks_exact_mut(width));
    for ((made, out), gate) in rows.zip(gates.iter().step_by(stride)) {
        add_scaled(out, *gate, made);
        add_scaled(out, *gate, offset);
    }
}

vectorised! {
    fn mix<'a>(
        made: &'a [f32],
        offset: &'a [f32],
        gates: Gates<'a>,
        out: &'a mut [f32],
    ) -> () = add_expert;
}

/// Adds to `of` the gradients of gate and offset; leaves `g · gradient` in `made`.
#[inline(always)]
fn add_gradients(
    (made, offset): (&mut [f32], &[f32]),
    gradient: &[f32],
    (gates, stride): Gates<'_>,
    of: &mut OfExpert,
) {
    let width = offset.len();
    let rows = made.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
    for ((made, gradient), gate) in rows.zip(gates.iter().step_by(stride)) {
        of.gates.push(dot(made, gradient) + dot(offset, gradient));
        made.iter_mut().zip(gradient).for_each(|(made, gradient)| *made = gate * gradient);
        norm::add(&mut of.offset, made);
    }
}

vectorised! {
    fn of_gates<'a>(
        made: (&'a mut [f32], &'a [f32]),
        gradient: &'a [f32],
        gates: Gates<'a>,
        of: &'a mut OfExpert,
    ) -> () = add_gradients;
}

/// The softmax of each row of `n` numbers, in its place.
fn softmax(values: &mut [f32], n: usize) {
    for row in values.chunks_exact_mut(n) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for value in row.iter_mut() {
            *value = exp(*value - most);
        }
        let sum: f32 = row.iter().sum();
        for value in row {
            *value /= sum;
        }
    }
}
