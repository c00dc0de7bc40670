//! What a loss's forward pass leaves for its backward pass.

use std::sync::{Mutex, PoisonError};

use candle_core::{Result, bail};

/// Gradients that are made with a loss, until they are asked for.
pub(super) struct Pending<T>(Mutex<Option<T>>);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pending<T> {
    /// Keeps what the forward pass has made.
    pub(super) fn keep(&self, made: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
    }

    /// Hands it to the backward pass.
    pub(super) fn take(&self) -> Result<T> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(made) => Ok(made),
            None => bail!("a loss's backward pass follows one forward pass"),
        }
    }
}
