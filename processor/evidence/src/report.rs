//! What a pack proved.

use schemas::id::TenantId;
use serde::Serialize;

use crate::hex::{Hash, KeyId, PublicKey};
use crate::pack::Contents;

/// What a pack holds, all of it verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose events.
    pub tenant: TenantId,
    /// Rows, or hashes alone.
    pub contents: Contents,
    /// The keys that signed, in the order in which they first did.
    pub keys: Vec<Signer>,
    /// Whether these are keys that were expected. If not, anybody may have made the pack.
    pub expected_key: bool,
    /// The numbers of the first and the last seal; 0 in a pack without seals.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Seals, with those of hours outside.
    pub seals: u64,
    /// Seals of hours outside, which stand in the pack for the chain alone.
    pub outside: u64,
    /// Seals of hours that had been sealed or passed over before: of events that came late.
    pub late: u64,
    /// What the first seal names as the one before it. All of the tenant's hours are proved to have been in order
    /// from the first on only if this is the head that was verified last, or there is none before.
    pub previous: Hash,
    /// The hash of the last seal: what the next pack is to continue.
    pub head: Hash,
    /// The hours of the seals whose events are here.
    pub hours: Option<Span>,
    /// Events.
    pub events: u64,
    /// The sum of their quantities.
    pub quantity: u64,
    /// Of the events, those whose rows were erased.
    pub erased: u64,
    /// Of the events, those whose contents nobody can prove: their rows have no hash.
    pub unhashed: u64,
    /// The same by billing period.
    pub periods: Vec<Period>,
}

/// A key that signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// What seals name it by.
    pub id: KeyId,
    /// The key.
    pub public: PublicKey,
}

/// Hours, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The start of the first.
    pub from: i64,
    /// The end of the last.
    pub to: i64,
}

/// What a billing period holds, of the hours of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// Its start, in seconds since 1970.
    pub start: i64,
    /// Events.
    pub events: u64,
    /// The sum of their quantities.
    pub quantity: u64,
}
