//! The ledger as a chain: each range is hashed behind the one before, so that one hash stands for all of them.
//!
//! A partition's last range may still grow (100,000 events fill it), so it is in no head.
//!
//! An operator who keeps a partition's head where nobody who can write to Postgres can change it notices later whatever
//! was done to ranges before it: what a proof found while the log had their records stays proved.

use evidence::Hash;
use processor::commit::RangeSum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a statement begins with.
const BEGINNING: &[u8; 14] = b"weir ledger 1\0";

/// Up to where a partition's ledger was full, and the hash of all ranges before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The partition.
    pub partition: u32,
    /// One past the last offset of the last range.
    pub offset: u64,
    /// Of that range behind those before it.
    pub hash: Hash,
}

impl Head {
    /// Of a partition without ranges.
    pub(crate) fn none(partition: u32) -> Self {
        Self { partition, offset: 0, hash: Hash::NONE }
    }

    /// With one range more: SHA-256 of the beginning, the hash before, and the range's numbers, the highest byte first.
    pub(crate) fn then(self, (lo, hi): (u64, u64), sum: &RangeSum) -> Self {
        let mut hash = Sha256::new().chain_update(BEGINNING).chain_update(self.hash.0);
        hash.update(self.partition.to_be_bytes());
        [lo, hi].iter().for_each(|offset| hash.update(offset.to_be_bytes()));
        let (counts, contents) = (sum.counts, sum.contents);
        let sums =
            [counts.stored, counts.duplicate, counts.dead, sum.xor_hash, contents.hashed, contents.xor];
        sums.iter().for_each(|sum| hash.update(sum.to_be_bytes()));
        Self { partition: self.partition, offset: hi, hash: Hash(hash.finalize().into()) }
    }
}
