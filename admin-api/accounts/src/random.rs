//! Randomness, as a parameter: tests give a seed.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Where random bytes come from. Cloning it is cheap.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    /// The thread's generator, which is seeded by the system and good for secrets.
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// For secrets.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same bytes for the same seed, for tests.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            Source::System => rand::rng().fill_bytes(&mut bytes),
            Source::Seeded(generator) => generator.lock().fill_bytes(&mut bytes),
        }
        bytes
    }
}
