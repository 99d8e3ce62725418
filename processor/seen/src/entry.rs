//! What is kept of an id.

use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;

/// An event as the store is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whose id it is: it comes with the hash, so that no crafted id can hide another tenant's event.
    pub project: ProjectId,
    /// The hash of project and id.
    pub hash: EventHash,
    /// Where the event stands.
    pub position: Position,
    /// When it was received.
    pub received_at: Micros,
}

/// Bytes of an entry on disk.
pub(super) const ENTRY_LEN: usize = 32;

/// An id and its first position. Entries are in the order of hash, project, position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) hash: u128,
    pub(super) project: i64,
    pub(super) position: u64,
}

impl Entry {
    pub(super) fn of(seen: &Seen) -> Self {
        Self { hash: seen.hash.0, project: seen.project.0, position: seen.position.number() }
    }

    pub(super) fn key(&self) -> (u128, i64) {
        (self.hash, self.project)
    }

    /// The half of the hash by which entries are found: evenly spread, unless somebody has crafted ids.
    pub(super) fn high(&self) -> u64 {
        high(self.hash)
    }

    pub(super) fn write(&self, to: &mut [u8; ENTRY_LEN]) {
        to[..16].copy_from_slice(&self.hash.to_le_bytes());
        to[16..24].copy_from_slice(&self.project.to_le_bytes());
        to[24..].copy_from_slice(&self.position.to_le_bytes());
    }

    pub(super) fn read(from: &[u8; ENTRY_LEN]) -> Self {
        let (mut hash, mut project, mut position) = ([0; 16], [0; 8], [0; 8]);
        hash.copy_from_slice(&from[..16]);
        project.copy_from_slice(&from[16..24]);
        position.copy_from_slice(&from[24..]);
        Self {
            hash: u128::from_le_bytes(hash),
            project: i64::from_le_bytes(project),
            position: u64::from_le_bytes(position),
        }
    }
}

/// The upper half of a hash.
pub(super) fn high(hash: u128) -> u64 {
    (hash >> 64) as u64
}

/// The lower half of a hash.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
pub(super) fn low(hash: u128) -> u64 {
    hash as u64
}

/// `high`'s share of `parts`, in order: 0 for the smallest hashes, `parts - 1` for the largest.
#[expect(clippy::cast_possible_truncation, reason = "below `parts`")]
pub(super) fn share(high: u64, parts: usize) -> usize {
    ((u128::from(high) * parts as u128) >> 64) as usize
}
