//! Seeds with names, so that every random choice can be repeated on its own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// A seed from which further seeds are derived by name.
///
/// The seed of a name depends on the names above it and on nothing else: asking for another seed
/// first, or from another thread, changes nothing.
///
/// ```
/// use tastemaker_core::SeedTree;
/// let study = SeedTree::new(7);
/// assert_eq!(study.child("train").child("dropout"), SeedTree::new(7).child("train").child("dropout"));
/// assert_ne!(study.child("train").seed(), study.child("ties").seed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedTree {
    state: [u8; 32],
}

impl SeedTree {
    /// The root of all seeds of a run.
    pub fn new(seed: u64) -> Self {
        Self { state: Sha256::digest(seed.to_le_bytes()).into() }
    }

    /// The seeds below `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let digest = Sha256::new().chain_update(self.state).chain_update(name).finalize();
        Self { state: digest.into() }
    }

    /// The seeds below the `index`-th of many alike, such as epochs or users.
    #[must_use]
    pub fn index(&self, index: u64) -> Self {
        let digest =
            Sha256::new().chain_update(self.state).chain_update(index.to_le_bytes()).finalize();
        Self { state: digest.into() }
    }

    /// This seed as a number.
    pub fn seed(&self) -> u64 {
        u64::from_le_bytes(self.state[..8].try_into().expect("eight bytes"))
    }

    /// A generator that starts from this seed; its stream is the same on every platform.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.state)
    }
}
