//! What is to be brought back, and what was done.

use processor::batch::Placed;
use schemas::time::Micros;
use serde::Serialize;

/// Which rows are to be brought back, if they are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Of a partition's offsets `[from, to)`.
    Offsets {
        /// The partition.
        partition: u32,
        /// The first.
        from: u64,
        /// One past the last.
        to: u64,
    },
    /// Received at `[from, to)`.
    Period {
        /// The first instant.
        from: Micros,
        /// The first one after.
        to: Micros,
    },
    /// All.
    All,
}

impl Selection {
    pub(crate) fn has(&self, placed: &Placed<'_>) -> bool {
        match self {
            Self::Offsets { from, to, .. } => (*from..*to).contains(&placed.position.offset()),
            Self::Period { from, to } => (*from..*to).contains(&placed.envelope.received_at),
            Self::All => true,
        }
    }
}

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Ledger ranges that were compared.
    pub ranges: usize,
    /// Of these, whose rows did not agree.
    pub damaged: usize,
    /// Rows inserted.
    pub inserted: usize,
    /// Rows removed.
    pub removed: usize,
    /// What was done to each damaged range, and what could not be.
    pub notes: Vec<String>,
    /// Damaged ranges that could not be mended.
    pub failed: usize,
}
