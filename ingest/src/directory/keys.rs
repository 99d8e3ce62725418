use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use schemas::id::{KeyId, ProjectId};
use schemas::key::KeyHash;
use schemas::time::Micros;

use super::Tenant;

/// Keys in one chunk: a table grows by so many, and is read for saving in pieces of so many.
pub(super) const CHUNK: usize = 4_096;

/// All keys, in about a hundred bytes each: entries stand densely in chunks that never move, and a map says where.
#[derive(Debug, Default)]
pub(super) struct Keys {
    places: HashMap<KeyId, u32>,
    chunks: Vec<Vec<KeyEntry>>,
}

#[derive(Debug)]
pub(super) struct KeyEntry {
    pub(super) id: KeyId,
    pub(super) hash: KeyHash,
    pub(super) tenant: Arc<Tenant>,
    pub(super) project: ProjectId,
    /// [`NEVER`] for a key that does not expire.
    pub(super) expires_at: Micros,
    pub(super) revoked: bool,
    /// Whether it was used since that was last written down.
    pub(super) used: AtomicBool,
}

pub(super) const NEVER: Micros = Micros(i64::MAX);

impl Keys {
    pub(super) fn get(&self, id: KeyId) -> Option<&KeyEntry> {
        let place = usize::try_from(*self.places.get(&id)?).ok()?;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    pub(super) fn put(&mut self, entry: KeyEntry) {
        let next = self.places.len();
        let place = *self.places.entry(entry.id).or_insert(u32::try_from(next).unwrap_or(u32::MAX));
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if place / CHUNK == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let Some(chunk) = self.chunks.get_mut(place / CHUNK) else { return };
        match chunk.get_mut(place % CHUNK) {
            Some(known) => *known = entry,
            None => chunk.push(entry),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// A chunk by its number.
    pub(super) fn chunk(&self, number: usize) -> Option<&[KeyEntry]> {
        self.chunks.get(number).map(Vec::as_slice)
    }
}
