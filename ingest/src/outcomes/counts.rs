use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;
use schemas::id::KeyId;
use schemas::intake::Intake;
use schemas::time::Micros;

use super::tally::EventCounts;
use crate::metrics;
use crate::tenant::Holder;

/// Rows that a node holds, each one key's outcome in one minute; when they are used up, keys are counted together as
/// their project, in as many more.
pub const ROWS_MAX: usize = 100_000;
/// Locks that requests of different projects share out among them.
const SHARDS: u64 = 64;
/// A shard of so many rows does not shrink.
const SHARD_ROWS_USUAL: usize = 64;
const MINUTE: i64 = 60 * Micros::SECOND;
/// A minute is open for so long after its end: longer than a request may take.
const OPEN_SECONDS: i64 = 15;

/// The counts of this run of the process that have not left memory yet.
#[derive(Debug)]
pub struct Outcomes {
    shards: Vec<Shard>,
    rows_max: usize,
    /// Rows of keys, and rows of projects.
    rows: [AtomicUsize; 2],
    /// The first minute that still counts. What comes too late for its own is counted here: a row that has left memory
    /// must not begin again.
    first_open: AtomicU32,
    /// Events and requests for which there was no row any more.
    lost: AtomicI64,
}

/// On a line of its own in the processor's cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<HashTable<Row>>);

/// What a row counts. `None` for the key: the project's, beyond the limit on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowKey {
    pub(super) tenant: i64,
    /// Minutes since 1970.
    pub(super) minute: u32,
    pub(super) project: i64,
    pub(super) key: Option<KeyId>,
    place: u8,
}

#[derive(Debug)]
struct Row {
    key: RowKey,
    events: u64,
    requests: u64,
    /// Whether it has grown since it was last taken for writing.
    is_new: bool,
}

/// A row as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Taken {
    pub(super) key: RowKey,
    pub(super) events: u64,
    pub(super) requests: u64,
}

/// Which limit a row counts against.
#[derive(Debug, Clone, Copy)]
enum Of {
    Key = 0,
    Project = 1,
}

impl Default for Outcomes {
    fn default() -> Self {
        Self::new(ROWS_MAX)
    }
}

impl Outcomes {
    /// Counts in at most `rows_max` rows of keys and as many of projects.
    #[must_use]
    pub fn new(rows_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        let first_open = AtomicU32::new(0);
        Self { shards, rows_max, rows: Default::default(), first_open, lost: AtomicI64::new(0) }
    }

    /// Adds what became of a request that was received `at`: one lock, and one look-up for each outcome in it.
    pub(super) fn add(&self, holder: Holder, at: Micros, tally: &EventCounts) {
        if tally.met == 0 && tally.request.is_none() {
            return;
        }
        let mut rows = self.shards[shard_of(holder.project.0)].0.lock();
        // Read under the lock: `close` moves it before it looks through the shards.
        let minute = minute_of(at).max(self.first_open.load(Ordering::Relaxed));
        let (tenant, project, key) = (holder.tenant.0, holder.project.0, Some(holder.key));
        let row = |place| RowKey { tenant, minute, project, key, place };
        for (place, events) in tally.met() {
            self.raise(&mut rows, row(place), (events.into(), 0));
        }
        if let Some(outcome) = tally.request {
            self.raise(&mut rows, row(u8::try_from(outcome.place()).unwrap_or(u8::MAX)), (0, 1));
        }
    }

    /// Raises a row by so many events and requests.
    #[inline]
    fn raise(&self, rows: &mut HashTable<Row>, key: RowKey, counts: (u64, u64)) {
        match rows.find_mut(key.hash(), |row| row.key == key) {
            Some(row) => row.raise(counts),
            None => self.begin(rows, key, counts),
        }
    }

    /// Makes the row, or raises the project's if there is no room for it.
    #[cold]
    fn begin(&self, rows: &mut HashTable<Row>, key: RowKey, counts: (u64, u64)) {
        if self.insert(rows, key, Of::Key, counts) {
            return;
        }
        let sum = counts.0 + counts.1;
        let together = RowKey { key: None, ..key };
        if let Some(row) = rows.find_mut(together.hash(), |row| row.key == together) {
            row.raise(counts);
        } else if !self.insert(rows, together, Of::Project, counts) {
            ::metrics::counter!(metrics::OUTCOMES_LOST).increment(sum);
            self.lost.fetch_add(i64::try_from(sum).unwrap_or(i64::MAX), Ordering::Relaxed);
            return;
        }
        ::metrics::counter!(metrics::OUTCOMES_FOLDED).increment(sum);
    }

    /// Makes a row that is not there yet; `false` if there is no room for it.
    fn insert(&self, rows: &mut HashTable<Row>, key: RowKey, of: Of, (events, requests): (u64, u64)) -> bool {
        let one_more = |rows| (rows < self.rows_max).then_some(rows + 1);
        let is_room =
            self.rows[of as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if is_room {
            rows.insert_unique(key.hash(), Row { key, events, requests, is_new: true }, |row| row.key.hash());
        }
        is_room
    }

    /// Rows held.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.iter().map(|rows| rows.load(Ordering::Relaxed)).sum()
    }

    /// Events and requests that were not counted since this was last asked, because there was no room.
    pub(super) fn take_lost(&self) -> i64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// All rows that have grown since they were last taken, in the order of their keys.
    pub(super) fn take(&self) -> Vec<Taken> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            for row in shard.0.lock().iter_mut().filter(|row| row.is_new) {
                row.is_new = false;
                taken.push(Taken { key: row.key, events: row.events, requests: row.requests });
            }
        }
        taken.sort_unstable();
        taken
    }

    /// These could not be written: they are taken again next time.
    pub(super) fn put_back(&self, rows: &[Taken]) {
        for taken in rows {
            let mut shard = self.shards[shard_of(taken.key.project)].0.lock();
            if let Some(row) = shard.find_mut(taken.key.hash(), |row| row.key == taken.key) {
                row.is_new = true;
            }
        }
    }

    /// Lets go of what is written of the minutes that are over.
    pub(super) fn close(&self, now: Micros) {
        let first_open = minute_of(Micros(now.0.saturating_sub(OPEN_SECONDS * Micros::SECOND)));
        let first_open = self.first_open.fetch_max(first_open, Ordering::Relaxed).max(first_open);
        for shard in &self.shards {
            let mut rows = shard.0.lock();
            rows.retain(|row| {
                let stays = row.is_new || row.key.minute >= first_open;
                if !stays {
                    let of = if row.key.key.is_some() { Of::Key } else { Of::Project };
                    self.rows[of as usize].fetch_sub(1, Ordering::Relaxed);
                }
                stays
            });
            // What a busy minute took is given back.
            let usual = rows.len().max(SHARD_ROWS_USUAL);
            if rows.capacity() > 4 * usual {
                rows.shrink_to(2 * usual, |row| row.key.hash());
            }
        }
    }
}

impl Row {
    fn raise(&mut self, (events, requests): (u64, u64)) {
        self.events += events;
        self.requests += requests;
        self.is_new = true;
    }
}

impl RowKey {
    pub(super) fn outcome(&self) -> Option<Intake> {
        Intake::at(self.place.into())
    }

    pub(super) fn minute(&self) -> Micros {
        Micros(i64::from(self.minute) * MINUTE)
    }

    /// Keys' ids are random numbers that weir has made, so that nobody can fill a bucket.
    fn hash(&self) -> u64 {
        let key = self.key.map_or(self.project.unsigned_abs(), |key| key.number().unsigned_abs());
        mixed(mixed(key) ^ u64::from(self.minute) << 8 ^ u64::from(self.place))
    }
}

fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26)
}

fn shard_of(project: i64) -> usize {
    usize::try_from(mixed(project.unsigned_abs()) % SHARDS).unwrap_or_default()
}

fn minute_of(at: Micros) -> u32 {
    u32::try_from(at.0.div_euclid(MINUTE).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
