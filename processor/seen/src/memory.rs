//! The memory that all stores of a processor share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A budget in bytes. Tables and indexes are counted whether or not they fit, since nothing works without them and
/// both have bounds of their own; filters are only loaded where they fit.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: u64,
    used: AtomicU64,
}

/// Bytes taken from a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Memory {
    pub(super) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicU64::new(0) })
    }

    /// Takes bytes that are needed.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Taken {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Taken { memory: Arc::clone(self), bytes }
    }

    /// Takes bytes if there are as many left.
    pub(super) fn take_if_free(self: &Arc<Self>, bytes: u64) -> Option<Taken> {
        let taken = self.take(bytes);
        (self.used() <= self.bytes_max).then_some(taken)
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Taken {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_given_to_the_last_byte_and_comes_back() {
        let memory = Memory::new(10);
        let first = memory.take_if_free(10);
        assert!(first.is_some() && memory.take_if_free(1).is_none());
        drop(first);
        assert!(memory.take_if_free(11).is_none() && memory.take_if_free(10).is_some());
        assert_eq!(memory.used(), 0);
    }
}
