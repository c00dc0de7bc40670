//! Memory that an operation needs for a while.
//!
//! An operation's intermediate values are as large step after step. Zeroing fresh memory for them
//! takes as long as some of the passes that fill it, so it goes from hand to hand instead.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// What nobody uses at the moment, by its length.
static FREE: Mutex<BTreeMap<usize, Vec<Vec<f32>>>> = Mutex::new(BTreeMap::new());

/// Numbers of no meaning until they are written; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    values: Vec<f32>,
    length: usize,
}

impl Scratch {
    /// Room for `length` numbers, which hold anything.
    pub(crate) fn new(length: usize) -> Self {
        let class = size_class(length);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let values = free.get_mut(&class).and_then(Vec::pop);
        drop(free);
        Self { values: values.unwrap_or_else(|| vec![0.0; class]), length }
    }

    /// Room for `length` zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        let mut zeros = Self::new(length);
        zeros.fill(0.0);
        zeros
    }
}

/// `length` rounded up, by less than an eighth, so that nearly equal ones share their memory.
fn size_class(length: usize) -> usize {
    let step = (length.next_power_of_two() / 16).max(64);
    length.next_multiple_of(step)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if !values.is_empty() {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.entry(values.len()).or_default().push(values);
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_as_long_as_asked_and_zeros_are_zeros() {
        for length in (0..3000).step_by(37) {
            let mut room = Scratch::new(length);
            assert_eq!(room.len(), length);
            room.fill(7.0);
            drop(room);
            assert!(Scratch::zeros(length).iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn a_size_class_is_hardly_larger() {
        for length in 1000..5000 {
            assert!((length..=length + length / 8).contains(&size_class(length)), "{length}");
        }
    }
}
