//! Why a pack or a proof is not what it says.

use std::fmt;
use std::io;

use schemas::id::TenantId;

use crate::hex::KeyId;
use crate::pack::{LINE_BYTES_MAX, ROW_BYTES_MAX};
use crate::tree::NotPushed;

/// Where something is wrong, and what.
#[derive(Debug)]
pub struct Refused {
    /// The line, from 1.
    pub line: u64,
    /// The number of the seal that the line is, or is an event of.
    pub seal: Option<u64>,
    /// What is wrong.
    pub why: Why,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seal {
            Some(seal) => write!(f, "line {}, seal {seal}: {}", self.line, self.why),
            None => write!(f, "line {}: {}", self.line, self.why),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.why)
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The file can't be read: nothing is known of what is in it.
    #[error("the file can't be read")]
    Read(#[source] io::Error),
    /// See [`LINE_BYTES_MAX`].
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    Long,
    /// There is no last line, or it has no end.
    #[error("the file ends too early: it was cut")]
    Cut,
    /// Something stands behind the last line.
    #[error("something follows the last line")]
    Follows,
    /// It is no JSON, or other JSON.
    #[error("it is not what can stand here: {0}")]
    Form(String),
    /// Another version's.
    #[error("its form has version {0}, and this is a verifier of version 1")]
    Version(u64),
    /// The header's hours.
    #[error("`from` and `to` are not the start and the end of whole hours")]
    Hours,
    /// More keys than a pack may have.
    #[error("there are too many keys")]
    Keys,
    /// A key's id is not made of the key.
    #[error("key {0} is another key than the one that has this id: it was changed")]
    Misnamed(KeyId),
    /// Another tenant's.
    #[error("it is of tenant {found}, and tenant {expected} is expected")]
    Tenant {
        /// Whose it is.
        found: TenantId,
        /// Whose it should be.
        expected: TenantId,
    },
    /// The pack does not name the seal's key.
    #[error("it is signed with key {0}, which the pack does not name")]
    UnknownKey(KeyId),
    /// Not a key of who verifies.
    #[error("it is signed with key {0}, which is not the key that is expected: somebody else signed it")]
    OtherKey(KeyId),
    /// The signature is not good.
    #[error("it is not what key {0} signed: something in it was changed")]
    Signature(KeyId),
    /// A seal is missing, there twice, or in another place.
    #[error("seal {expected} is expected here: a seal was left out, added or moved")]
    Number {
        /// The number after that of the seal before.
        expected: u64,
    },
    /// It names another seal before than the one that is there.
    #[error("it does not continue the seal before it: one of them was exchanged")]
    Chain,
    /// The first seal continues another than the one that was verified before.
    #[error("the first seal does not continue the one that is expected before it")]
    After,
    /// The last seal is another than expected.
    #[error(
        "the last seal is not the one that is expected: seals are missing at the end, or others are there"
    )]
    Head,
    /// Not the start of an hour.
    #[error("it is not of a whole hour")]
    Hour,
    /// The seal before of this hour was of events up to other offsets than it begins at.
    #[error("it ends before the seal of the same hour that it continues")]
    Offsets,
    /// More periods than a pack may have.
    #[error("there are too many billing periods")]
    Periods,
    /// An event before the first seal.
    #[error("an event stands before the first seal")]
    NoSeal,
    /// An event of a seal whose hour is not the pack's.
    #[error("an event stands behind a seal of an hour that is not the pack's")]
    Outside,
    /// Order, or sum.
    #[error(transparent)]
    Leaf(#[from] NotPushed),
    /// Other events than were signed.
    #[error("it has {found} events, and {signed} were sealed: events were {}", less_or_more(*found, *signed))]
    Events {
        /// In the pack.
        found: u64,
        /// By the seal.
        signed: u64,
    },
    /// The right number of events, with another sum.
    #[error("its events count {found}, and {signed} were sealed: a quantity or an event was changed")]
    Quantity {
        /// In the pack.
        found: u64,
        /// By the seal.
        signed: u64,
    },
    /// Counts and sums are right, and the events are others.
    #[error("its events make another root than the signed one: an event was left out, added or changed")]
    Root,
    /// An event's row is missing.
    #[error("the event has no row, and is not marked as erased")]
    NoRow,
    /// A row, or a mark, that has no place there.
    #[error(
        "a pack of hashes, and an event that was erased, have no rows; only a pack of rows has erased events"
    )]
    RowOrErased,
    /// See [`ROW_BYTES_MAX`].
    #[error("the row is not in base64, or has more than {ROW_BYTES_MAX} bytes")]
    RowBytes,
    /// A row whose hash is not the leaf's.
    #[error("the row is not the one that was sealed: it was changed")]
    RowContents,
    /// The row is too short for what a row has.
    #[error("the row is not one of a stored event")]
    RowForm,
    /// The row is another event's, or of another hour.
    #[error("the row's {0} is not that of its event and seal")]
    Row(&'static str),
    /// The last line counts something else.
    #[error("the last line says {said} {what}, and there are {found}")]
    End {
        /// Seals, events or quantity.
        what: &'static str,
        /// By the last line.
        said: u64,
        /// In the pack.
        found: u64,
    },
    /// The last line names another seal as the last.
    #[error("the last line names another seal than the last one")]
    EndHead,
    /// A proof of another event.
    #[error("the proof is not of the event that it names")]
    Event,
    /// A proof's path.
    #[error("the path from the event does not lead to the signed root: the proof was changed")]
    Path,
    /// A proof of absence.
    #[error("the events to the left and right are not neighbours around the absent one: it proves nothing")]
    Neighbours,
}

fn less_or_more(found: u64, signed: u64) -> &'static str {
    if found < signed { "left out" } else { "added" }
}
