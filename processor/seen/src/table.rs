//! Ids in memory: the youngest, until there are so many that they go to disk.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use crate::entry::{Entry, high, low};

/// Bytes of a place in the table: the entry, and the table's own byte.
pub(super) const PLACE_BYTES: usize = size_of::<Entry>() + 1;

/// Ids with their first positions, up to a number that is given when the table is made.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashTable<Entry>,
    entries_max: usize,
    seeds: (u64, u64),
}

impl Table {
    /// A table for `places` x 7/8 entries.
    pub(super) fn new(places: usize) -> Self {
        let seeds = (RandomState::new().hash_one(0), RandomState::new().hash_one(1));
        Self { entries: HashTable::new(), entries_max: places / 8 * 7, seeds }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many more ids it takes.
    pub(super) fn room(&self) -> usize {
        self.entries_max.saturating_sub(self.entries.len())
    }

    /// Notes an entry, unless a smaller position is there; returns the position that was there.
    pub(super) fn note(&mut self, entry: Entry) -> Option<u64> {
        let seeds = self.seeds;
        let slot = self.entries.entry(
            mix(seeds, entry.hash),
            |other| other.key() == entry.key(),
            |other| mix(seeds, other.hash),
        );
        match slot {
            Slot::Occupied(mut there) => {
                let there = there.get_mut();
                let before = there.position;
                there.position = before.min(entry.position);
                Some(before)
            }
            Slot::Vacant(place) => {
                place.insert(entry);
                None
            }
        }
    }

    pub(super) fn get(&self, key: (u128, i64)) -> Option<u64> {
        let found = self.entries.find(mix(self.seeds, key.0), |other| other.key() == key);
        found.map(|entry| entry.position)
    }

    pub(super) fn remove(&mut self, key: (u128, i64)) {
        if let Ok(there) = self.entries.find_entry(mix(self.seeds, key.0), |other| other.key() == key) {
            there.remove();
        }
    }

    /// Forgets what stands before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        self.entries.retain(|entry| entry.position >= position);
    }

    /// All entries, in order.
    pub(super) fn sorted(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.iter().copied().collect();
        entries.sort_unstable();
        entries
    }

    /// Bytes that it takes now.
    pub(super) fn bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

/// Event hashes are no secret: seeded, so that nobody can choose ids that meet in one place.
fn mix(seeds: (u64, u64), hash: u128) -> u64 {
    let product = u128::from(high(hash) ^ seeds.0) * u128::from(low(hash) ^ seeds.1);
    high(product) ^ low(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_when_it_is_full_and_does_not_grow_beyond() {
        let mut table = Table::new(1 << 12);
        let mut n = 0;
        while table.room() > 0 {
            table.note(Entry { hash: n, project: 1, position: 1 });
            n += 1;
        }
        assert_eq!(n, 3_584);
        assert!(table.bytes() <= (PLACE_BYTES << 12) + 64, "{}", table.bytes());
    }
}
