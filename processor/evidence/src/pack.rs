//! The form of a pack: a header, each seal followed by its leaves, and an end, each on a line of its own, in JSON.

use schemas::id::TenantId;
use serde::{Deserialize, Serialize};

use crate::hex::{Hash, KeyId, PublicKey};
use crate::leaf::Leaf;
use crate::seal::HOUR;
use crate::signed::Signed;

/// Of packs and of proofs.
pub(crate) const VERSION: u64 = 1;
/// Bytes of a line, with its end.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a row; an event has at most 512 KiB, and a row says little of it twice.
pub const ROW_BYTES_MAX: usize = 2 << 20;
/// Keys that a pack names.
pub(crate) const KEYS_MAX: usize = 1_000;

/// What a pack has of an event, in addition to its leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    /// Its row, so that anybody sees what is in it.
    Rows,
    /// Nothing.
    Hashes,
}

/// What a pack is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose events.
    pub tenant: TenantId,
    /// The start of the first hour, in seconds since 1970.
    pub from: i64,
    /// The end of the last hour. A seal of an hour outside of `[from, to)` comes without its leaves, for the chain.
    pub to: i64,
    /// Rows, or hashes alone.
    pub contents: Contents,
    /// With which seals are signed. That they stand here makes nobody trust them.
    pub keys: Vec<PublicKey>,
}

impl Header {
    /// Whether it is of whole hours, and of one at least.
    pub(crate) fn has_hours(&self) -> bool {
        self.from < self.to && self.from % HOUR == 0 && self.to % HOUR == 0
    }

    /// Whether a pack has the leaves of this hour.
    pub(crate) fn holds(&self, hour: i64) -> bool {
        (self.from..self.to).contains(&hour)
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderForm {
    pub(crate) weir_evidence: u64,
    tenant: i64,
    from: i64,
    to: i64,
    contents: Contents,
    keys: Vec<KeyForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    id: KeyId,
    public: PublicKey,
}

impl From<&Header> for HeaderForm {
    fn from(header: &Header) -> Self {
        Self {
            weir_evidence: VERSION,
            tenant: header.tenant.0,
            from: header.from,
            to: header.to,
            contents: header.contents,
            keys: header.keys.iter().map(|&public| KeyForm { id: public.id(), public }).collect(),
        }
    }
}

impl HeaderForm {
    /// A key whose id is another key's, if there is one.
    pub(crate) fn misnamed(&self) -> Option<KeyId> {
        self.keys.iter().find(|key| key.public.id() != key.id).map(|key| key.id)
    }

    pub(crate) fn header(self) -> Header {
        Header {
            tenant: TenantId(self.tenant),
            from: self.from,
            to: self.to,
            contents: self.contents,
            keys: self.keys.into_iter().map(|key| key.public).collect(),
        }
    }
}

/// Any other line: it has `seal`, `leaf` or `end`; with `leaf` perhaps `row` or `erased`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line<'a> {
    pub(crate) leaf: Option<Leaf>,
    #[serde(borrow)]
    pub(crate) row: Option<&'a str>,
    pub(crate) erased: Option<bool>,
    pub(crate) seal: Option<Signed>,
    pub(crate) end: Option<End>,
}

/// The last line, without which a pack was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// With those outside.
    pub(crate) seals: u64,
    /// Leaves.
    pub(crate) events: u64,
    /// Their quantities' sum.
    pub(crate) quantity: u64,
    /// The hash of the last seal; of none, if there is no seal.
    pub(crate) head: Hash,
}
