//! Where gradients go that the tensor library need not carry.
//!
//! It would add each to zeros made for it, and block by block cut it into parameters and add those
//! to zeros again: four passes over the memory of all weights for none.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{RowGradients, norm, tensor_like};

/// Numbers that one task adds.
const PIECE: usize = 1 << 14;

/// The gradient of one operation's weights.
#[derive(Clone, Debug, Default)]
pub struct Sink(Arc<Mutex<Option<Vec<f32>>>>);

impl Sink {
    /// Adds to what is there.
    pub(crate) fn add(&self, gradient: Vec<f32>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *all {
            Some(sum) => add_in_pieces(sum, &gradient),
            None => *all = Some(gradient),
        }
    }

    /// Takes what is there.
    pub fn take(&self) -> Option<Vec<f32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Leaves a gradient in `sink`; without one, it is for the tensor library to carry.
pub(super) fn leave(
    sink: Option<&Sink>,
    gradient: Vec<f32>,
    like: &Tensor,
) -> Result<Option<Tensor>> {
    match sink {
        Some(sink) => {
            sink.add(gradient);
            Ok(None)
        }
        None => tensor_like(gradient, like).map(Some),
    }
}

/// `sum += values`.
pub(crate) fn add_in_pieces(sum: &mut [f32], values: &[f32]) {
    let pieces = sum.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.for_each(|(sum, values)| norm::add_all(sum, values));
}

/// The gradients of some of a table's rows.
#[derive(Clone, Debug, Default)]
pub struct RowSink(Arc<Mutex<RowGradients>>);

impl RowSink {
    /// Adds to what is there.
    pub(crate) fn add(&self, gradients: RowGradients) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all = std::mem::take(&mut *all).merged(gradients);
    }

    /// Takes what is there.
    pub fn take(&self) -> RowGradients {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
