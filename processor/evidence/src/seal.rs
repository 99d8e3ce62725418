//! What is signed of an hour.

use schemas::id::TenantId;
use sha2::{Digest, Sha256};

use crate::hex::Hash;
use crate::tree::Root;

/// What a statement begins with: its version, and that it is one.
const BEGINNING: &[u8; 12] = b"weir seal 1\0";
/// What stands before a statement where it is hashed.
const DOMAIN: u8 = 2;
/// Seconds.
pub(crate) const HOUR: i64 = 3_600;

/// What an operator says of one hour of a tenant: these events were stored, and no other.
///
/// Seals of a tenant are numbered in the order in which they were made, without a gap, and each names the one before.
/// Hours follow one another, except where events came late, and an hour is sealed again, of the late events alone, or
/// where an hour could not be sealed when its turn was. So an hour between those of two seals in a row was not sealed
/// by then. It need not have been without events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Whose hour it is.
    pub tenant: TenantId,
    /// 1 for the first seal of the tenant, and one more for each.
    pub number: u64,
    /// The start of the hour of receipt, in seconds since 1970.
    pub hour: i64,
    /// The start of the billing period, in seconds since 1970. An hour in which a period changes has two seals.
    pub period: i64,
    /// Of the events' tree.
    pub root: Root,
    /// For each partition of the log, the offset before which the sealed events stand. They stand at or behind that of
    /// the seal before for the same hour and period, if there is one.
    pub offsets: Vec<u64>,
    /// The hash of the tenant's seal before; [`Hash::NONE`] for number 1.
    pub previous: Hash,
}

impl Seal {
    /// The bytes that are signed. Numbers have their highest byte first: tenant, number, hour, period, events,
    /// quantity, the root's hash, how many partitions there are (32 bits), their offsets, the hash of the seal before.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(136 + 8 * self.offsets.len());
        bytes.extend_from_slice(BEGINNING);
        bytes.extend_from_slice(&self.tenant.0.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.hour.to_be_bytes());
        bytes.extend_from_slice(&self.period.to_be_bytes());
        bytes.extend_from_slice(&self.root.events.to_be_bytes());
        bytes.extend_from_slice(&self.root.quantity.to_be_bytes());
        bytes.extend_from_slice(&self.root.hash.0);
        // A log has far fewer partitions; more offsets than this fit in no line of a pack.
        let partitions = u32::try_from(self.offsets.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&partitions.to_be_bytes());
        self.offsets.iter().for_each(|offset| bytes.extend_from_slice(&offset.to_be_bytes()));
        bytes.extend_from_slice(&self.previous.0);
        bytes
    }

    /// What the next seal names as the one before: SHA-256 of 0x02 and the statement.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let digest = Sha256::new().chain_update([DOMAIN]).chain_update(self.statement());
        Hash(digest.finalize().into())
    }

    /// What its hours and its period are counted together by.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.hour, self.period)
    }
}
