use schemas::public_id::AuditId;
use sha2::{Digest, Sha256};

use super::entry::Entry;

/// What is hashed begins with it: another way to hash has another.
const VERSION: &[u8] = b"weir.audit.1";

/// An id that nobody can guess who does not know the chain.
pub(super) fn id(chain: i64, seq: i64, previous: &[u8]) -> AuditId {
    let hasher = Sha256::new_with_prefix(b"weir.audit.id");
    let hash =
        hasher.chain_update(chain.to_be_bytes()).chain_update(seq.to_be_bytes()).chain_update(previous);
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash.finalize()[..16]);
    AuditId::of_random(bits)
}

/// SHA-256 over the hash before and all fields of the entry. Each field is preceded by its length, and a missing one
/// has a length that no field has, so no two entries have the same bytes.
pub(super) fn of(entry: &Entry, previous: &[u8]) -> [u8; 32] {
    let Entry { chain, seq, id, at, actor, action, target, before, after, address, request_id, hash: _ } =
        entry;
    let mut hasher = Sha256::new();
    let mut add = |field: Option<&[u8]>| {
        let length = field.map_or(u64::MAX, |field| field.len() as u64);
        hasher.update(length.to_be_bytes());
        hasher.update(field.unwrap_or_default());
    };
    add(Some(VERSION));
    add(Some(previous));
    add(Some(&chain.to_be_bytes()));
    add(Some(&seq.to_be_bytes()));
    add(Some(id.uuid().as_bytes()));
    add(Some(&at.timestamp_micros().to_be_bytes()));
    for text in [actor, action, target] {
        add(Some(text.as_bytes()));
    }
    for text in [before, after, address] {
        add(text.as_deref().map(str::as_bytes));
    }
    add(request_id.as_ref().map(|id| id.as_bytes().as_slice()));
    hasher.finalize().into()
}
