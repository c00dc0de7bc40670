//! `AdamW` (Loshchilov and Hutter 2019), one pass over weights, moments and gradient.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;

use crate::fused::{RowGradients, slice, slice_mut, vectorised};
use crate::gradients::Gradients;
use crate::parameters::{Group, Parameters};
use crate::{Error, Result};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Numbers one task updates.
const PIECE: usize = 1 << 14;

/// Rows of a table that one task updates.
const ROWS: usize = 512;

/// The optimiser with its two moments of each parameter:
///
/// `m = β₁m + (1−β₁)g`, `v = β₂v + (1−β₂)g²`,
/// `w = w − η (m / (1−β₁ᵗ)) / (√(v / (1−β₂ᵗ)) + ε) − η λ w`,
///
/// with β₁ = 0.9, β₂ = 0.999, ε = 1e-8. The decay λ is for matrices only: not for embeddings,
/// prompts, norms and biases.
///
/// Of a table whose rows have gradients of their own, the other rows are left alone, their moments
/// too (as torch's `SparseAdam`).
#[derive(Debug)]
pub struct AdamW {
    weight_decay: f64,
    steps: u64,
    moments: BTreeMap<String, Moments>,
}

/// The moving averages of a parameter's gradient and of its square.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Of the gradient.
    pub first: Vec<f32>,
    /// Of its square.
    pub second: Vec<f32>,
}

impl AdamW {
    /// An optimiser of those `parameters` that learn, before its first step.
    pub fn new(parameters: &Parameters, weight_decay: f64) -> Self {
        let moments = parameters.learning().map(|(name, variable)| {
            let zeros = vec![0.0; variable.elem_count()];
            (name.to_owned(), Moments { first: zeros.clone(), second: zeros })
        });
        Self { weight_decay, steps: 0, moments: moments.collect() }
    }

    /// Goes on where an optimiser with these moments stopped after `steps` steps.
    pub fn resume(&mut self, steps: u64, moments: BTreeMap<String, Moments>) {
        (self.steps, self.moments) = (steps, moments);
    }

    /// The moments, by parameter.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes a step against `gradients`, which are scaled down so that their norm is at most
    /// `clip` (0 clips nothing). Returns the norm before.
    ///
    /// # Errors
    /// If the gradient is not finite; then no parameter is changed.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        learning_rate: f64,
        clip: f64,
    ) -> Result<f64> {
        let mut total = 0.0;
        for (name, _) in parameters.learning() {
            total += match gradients.square_norm(name)? {
                Some(square) => square,
                // Not every objective is asked in every step.
                None if Group::of(name) == Group::Objective => 0.0,
                None => return Err(Error::NoGradient { parameter: name.to_owned() }),
            };
        }
        let norm = total.sqrt();
        if !norm.is_finite() {
            return Err(Error::Diverged { steps: self.steps });
        }
        self.steps += 1;
        let scale = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        for (name, variable) in parameters.learning() {
            let Some(moments) = self.moments.get_mut(name) else { continue };
            let decays = variable.rank() == 2
                && !matches!(Group::of(name), Group::Embeddings | Group::Prompt);
            let decay = if decays { learning_rate * self.weight_decay } else { 0.0 };
            let update = Update::new(moments, self.steps, learning_rate, (scale, decay));
            if let Some(gradient) = gradients.dense.get(name) {
                let gradient = gradient.contiguous()?;
                on_cpu(variable, |numbers| numbers.inplace_op2(&gradient, &update))?;
            } else if let Some(rows) = gradients.rows.get(name) {
                on_cpu(variable, |numbers| numbers.inplace_op1(&RowUpdate { update, rows }))?;
            }
        }
        parameters.changed();
        Ok(norm)
    }
}

/// Changes a variable's numbers, which come to the CPU for it if they lie elsewhere.
fn on_cpu(
    variable: &Var,
    change: impl FnOnce(&Tensor) -> candle_core::Result<()>,
) -> candle_core::Result<()> {
    if variable.device().is_cpu() {
        return change(variable);
    }
    let numbers = variable.to_device(&Device::Cpu)?;
    change(&numbers)?;
    variable.set(&numbers.to_device(variable.device())?)
}

/// One parameter's part of a step.
struct Update<'a> {
    moments: Mutex<&'a mut Moments>,
    factors: Factors,
}

/// What a step multiplies by.
struct Factors {
    rate: f32,
    second_scale: f32,
    gradient_scale: f32,
    decay: f32,
}

impl<'a> Update<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    fn new(moments: &'a mut Moments, steps: u64, rate: f64, (scale, decay): (f64, f64)) -> Self {
        let steps = i32::try_from(steps).unwrap_or(i32::MAX);
        let factors = Factors {
            rate: (rate / (1.0 - f64::from(BETA1).powi(steps))) as f32,
            second_scale: (1.0 / (1.0 - f64::from(BETA2).powi(steps))) as f32,
            gradient_scale: scale as f32,
            decay: decay as f32,
        };
        Self { moments: Mutex::new(moments), factors }
    }
}

impl Factors {
    #[expect(
        clippy::inline_always,
        reason = "it gains from the machine's registers inside `vectorised` only"
    )]
    #[inline(always)]
    fn apply(&self, weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let numbers = weights.iter_mut().zip(first).zip(second).zip(gradient);
        for (((weight, first), second), gradient) in numbers {
            let gradient = gradient * self.gradient_scale;
            *first = BETA1 * *first + (1.0 - BETA1) * gradient;
            *second = BETA2 * *second + (1.0 - BETA2) * gradient * gradient;
            let step = self.rate * *first / ((*second * self.second_scale).sqrt() + EPSILON);
            *weight -= step + self.decay * *weight;
        }
    }
}

vectorised! {
    fn apply<'a>(
        factors: &'a Factors,
        weights: &'a mut [f32],
        first: &'a mut [f32],
        second: &'a mut [f32],
        gradient: &'a [f32],
    ) -> () = Factors::apply;
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let gradient = slice(gradient, gradient_layout)?;
        let weights = slice_mut(weights, layout)?;
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Moments { first, second } = &mut **moments;
        let pieces = first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE));
        let pieces = weights.par_chunks_mut(PIECE).zip(pieces).zip(gradient.par_chunks(PIECE));
        pieces.for_each(|((weights, (first, second)), gradient)| {
            apply(&self.factors, weights, first, second, gradient);
        });
        Ok(())
    }
}

/// A table's part of a step, where only some of its rows have a gradient.
struct RowUpdate<'a> {
    update: Update<'a>,
    rows: &'a RowGradients,
}

impl InplaceOp1 for RowUpdate<'_> {
    fn name(&self) -> &'static str {
        "adamw-rows"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let Self { update, rows: RowGradients { rows, values: gradients } } = self;
        let weights = slice_mut(weights, layout)?;
        if rows.is_empty() {
            return Ok(());
        }
        let width = gradients.len() / rows.len();
        let mut moments = update.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Moments { first, second } = &mut **moments;
        let piece = ROWS * width;
        let pieces = first.par_chunks_mut(piece).zip(second.par_chunks_mut(piece));
        let pieces = weights.par_chunks_mut(piece).zip(pieces).enumerate();
        pieces.for_each(|(task, (weights, (first, second)))| {
            let at = |row: usize| rows.partition_point(|&other| (other as usize) < row);
            for entry in at(task * ROWS)..at((task + 1) * ROWS) {
                let start = (rows[entry] as usize - task * ROWS) * width;
                let row = start..start + width;
                let gradient = &gradients[entry * width..][..width];
                let (weights, first) = (&mut weights[row.clone()], &mut first[row.clone()]);
                apply(&update.factors, weights, first, &mut second[row], gradient);
            }
        });
        Ok(())
    }
}
