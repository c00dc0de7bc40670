//! How many operations matrix products have taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One counter a thread, so that none waits for another.
static COUNTERS: Mutex<Vec<Arc<AtomicU64>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<AtomicU64> = {
        let own = Arc::new(AtomicU64::new(0));
        COUNTERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&own));
        own
    };
}

/// Takes note of `n` multiplications, each with its addition.
pub(super) fn count(n: usize) {
    // Only its own thread writes to a counter.
    let add = |own: &Arc<AtomicU64>| {
        own.store(own.load(Ordering::Relaxed) + 2 * n as u64, Ordering::Relaxed);
    };
    OWN.with(add);
}

/// Floating-point operations of all matrix products of this process so far, additions as well as
/// multiplications; of a triangular product the half that is wanted.
pub fn operations() -> u64 {
    let counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::{View, multiply};
    use super::*;

    #[test]
    fn a_product_counts_a_multiplication_and_an_addition_for_each_triple() {
        let (a, b, mut out) = (vec![1.0; 6], vec![1.0; 12], vec![0.0; 8]);
        let own = || OWN.with(|own| own.load(Ordering::Relaxed));
        let (before, all) = (own(), operations());
        multiply(&mut out, 4, (2, 4, 3), View::rows(&a, 3), View::rows(&b, 4));
        assert_eq!(own() - before, 2 * 2 * 4 * 3);
        assert!(operations() >= all + 48);
    }
}
