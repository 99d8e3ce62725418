use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hashbrown::HashTable;
use schemas::id::{KeyId, ProjectId};
use schemas::key::KeyHash;
use schemas::time::Micros;

use crate::tenant::Tenant;

/// Keys in one chunk: a table grows by so many, and is read for saving in pieces of so many.
pub(super) const CHUNK: usize = 4_096;

/// All keys, in about a hundred bytes each: entries stand densely in chunks that never move, and a table says where.
#[derive(Debug, Default)]
pub(super) struct Keys {
    places: HashTable<u32>,
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
        at(&self.chunks, *self.places.find(hash(id), self.is(id))?)
    }

    pub(super) fn put(&mut self, entry: KeyEntry) {
        let found = self.places.find(hash(entry.id), self.is(entry.id)).copied();
        if let Some(place) = found {
            let (chunk, place) = split(place);
            if let Some(known) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(place)) {
                *known = entry;
            }
            return;
        }
        let (id, place) = (entry.id, u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(entry);
        }
        let chunks = &self.chunks;
        let hash_at = |place: &u32| at(chunks, *place).map_or(0, |entry| hash(entry.id));
        self.places.insert_unique(hash(id), place, hash_at);
    }

    fn is(&self, id: KeyId) -> impl FnMut(&u32) -> bool {
        move |place| at(&self.chunks, *place).is_some_and(|entry| entry.id == id)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// A chunk by its number.
    pub(super) fn chunk(&self, number: usize) -> Option<&[KeyEntry]> {
        self.chunks.get(number).map(Vec::as_slice)
    }
}

fn at(chunks: &[Vec<KeyEntry>], place: u32) -> Option<&KeyEntry> {
    let (chunk, place) = split(place);
    chunks.get(chunk)?.get(place)
}

fn split(place: u32) -> (usize, usize) {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    (place / CHUNK, place % CHUNK)
}

/// Ids are random numbers that weir has made: what others present is only looked up, so nobody can fill a bucket.
fn hash(id: KeyId) -> u64 {
    id.number().unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26)
}

#[cfg(test)]
mod tests {
    use schemas::address::AddressPolicy;
    use schemas::id::TenantId;

    use super::*;
    use crate::tenant::Terms;

    #[test]
    fn keys_are_found_under_their_ids_and_replaced_by_them() {
        let terms = Terms {
            active: true,
            quota: None,
            rate: None,
            zone: chrono_tz::Tz::UTC,
            client_ip: AddressPolicy::Full,
        };
        let tenant = Arc::new(Tenant::new(TenantId(1), terms));
        let id = |number: usize| KeyId::from_number(i64::try_from(number).unwrap() * 1_000_003).unwrap();
        let entry = |number: usize, project: i64| KeyEntry {
            id: id(number),
            hash: KeyHash([7; 32]),
            tenant: Arc::clone(&tenant),
            project: ProjectId(project),
            expires_at: NEVER,
            revoked: false,
            used: AtomicBool::new(false),
        };
        let mut keys = Keys::default();
        let count = CHUNK * 3 + 1;
        (0..count).for_each(|number| keys.put(entry(number, 1)));
        (0..count).step_by(7).for_each(|number| keys.put(entry(number, 2)));
        assert_eq!(keys.len(), count);
        for number in 0..count {
            let project = if number % 7 == 0 { 2 } else { 1 };
            assert_eq!(keys.get(id(number)).map(|entry| entry.project), Some(ProjectId(project)));
        }
        assert!(keys.get(id(count)).is_none());
        assert_eq!((0..).map_while(|number| keys.chunk(number)).map(<[_]>::len).sum::<usize>(), count);
    }
}
