//! Mending one ledger range: judge its records, hold that against the ledger, compare with the rows, and change these.

use std::collections::{BTreeMap, BTreeSet};

use eventlog::LogError;
use schemas::id::Position;
use schemas::time::Micros;
use service::store::StoreError;

use super::first::Firsts;
use super::task::{Report, Selection};
use crate::books::LedgerRange;
use crate::db::partition_cursor;
use crate::records::Records;
use crate::stores::Stores;
use processor::batch::{Letters, Placed, decode_as_judged};
use processor::block::Block;
use processor::commit::Contents;
use processor::erased::Erased;
use processor::rows::{self, Identity, Stored};

/// Mends ranges of one partition, in order.
pub(crate) struct Mender<'a> {
    stores: &'a Stores<'a>,
    partition: u32,
    letters: &'a Letters,
    firsts: Firsts,
    /// What must not come back.
    erased: Erased,
    /// `None`: everything that is wrong is mended, rows that should not be there are removed.
    selection: Option<Selection>,
}

/// What is to be done to a range's rows.
#[derive(Debug, Default)]
struct Change {
    remove: Vec<u64>,
    insert: BTreeSet<Position>,
}

/// Why a range was not mended.
#[derive(Debug, thiserror::Error)]
enum MendError {
    /// The log has dropped some of it.
    #[error(transparent)]
    Trimmed(LogError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LogError> for MendError {
    fn from(error: LogError) -> Self {
        if matches!(error, LogError::OutOfRange { .. }) {
            Self::Trimmed(error)
        } else {
            Self::Store(error.into())
        }
    }
}

impl From<sqlx::Error> for MendError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<clickhouse::error::Error> for MendError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}

type There = BTreeMap<Position, Vec<Stored>>;

impl<'a> Mender<'a> {
    /// The partition must be held ([`processor::below::change`]) since before `letters` were read.
    pub(crate) fn new(
        stores: &'a Stores<'a>,
        partition: u32,
        letters: &'a Letters,
        erased: Erased,
        selection: Option<Selection>,
    ) -> Self {
        Self { stores, partition, letters, firsts: Firsts::default(), erased, selection }
    }

    /// Mends ranges, in order, and notes in the report what it did. Processors read the ids again that rows have
    /// brought back.
    pub(crate) async fn mend_all(
        &mut self,
        ranges: impl IntoIterator<Item = LedgerRange>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let before = report.inserted;
        let mut ended = Ok(());
        for range in ranges {
            ended = self.mend(&range, report).await;
            if ended.is_err() {
                break;
            }
        }
        if report.inserted > before || ended.is_err() {
            partition_cursor::count_generation(self.stores.pool, self.partition).await?;
        }
        ended
    }

    /// Mends `range`, and notes in the report what it did.
    async fn mend(&mut self, range: &LedgerRange, report: &mut Report) -> Result<(), StoreError> {
        let what = format!("partition {}, offsets [{}, {})", self.partition, range.lo, range.hi);
        report.damaged += 1;
        match self.try_mend(range).await {
            Ok(Ok((inserted, removed))) => {
                report.inserted += inserted;
                report.removed += removed;
                report.notes.push(format!("{what}: {inserted} rows inserted, {removed} removed"));
            }
            Ok(Err(why)) => {
                report.failed += 1;
                report.notes.push(format!("{what}: not mended: {why}"));
            }
            Err(MendError::Trimmed(error)) => {
                report.failed += 1;
                report.notes.push(format!("{what}: not mended: the log no longer has all of it: {error}"));
            }
            Err(MendError::Store(error)) => return Err(error),
        }
        Ok(())
    }

    /// How many rows were inserted and removed; or why the range must be left alone.
    async fn try_mend(&mut self, range: &LedgerRange) -> Result<Result<(usize, usize), String>, MendError> {
        let offsets = (range.lo, range.hi);
        let there = rows::there(self.stores.clickhouse, self.partition, offsets).await?;
        let accepted = self.accepted(offsets).await?;
        let expected = match self.judge(range, &accepted, &there).await? {
            Ok(expected) => expected,
            Err(why) => return Ok(Err(why)),
        };
        let change = match self.right_change(range, &expected, &there).await? {
            Ok(change) => change,
            Err(why) => return Ok(Err(why)),
        };
        let removed = self.remove(range, &change, &there).await?;
        let inserted = self.insert(offsets, &change.insert).await?;
        Ok(Ok((inserted, removed)))
    }

    /// What is to be done to the rows; or why nothing: what is removed must come back as the ledger knows it.
    async fn right_change(
        &self,
        range: &LedgerRange,
        expected: &BTreeMap<Position, Identity>,
        there: &There,
    ) -> Result<Result<Change, String>, MendError> {
        let change = self.change(expected, there);
        let Some(contents) = range.contents().filter(|_| self.selection.is_none()) else {
            return Ok(Ok(change));
        };
        if self.contents_after(range, &change, there).await? == contents {
            return Ok(Ok(change));
        }
        // A row that was altered together with its hash looks right: what it was is known of all of them together.
        let all = Change {
            remove: there.keys().map(|at| at.number()).collect(),
            insert: expected.keys().copied().collect(),
        };
        if self.contents_after(range, &all, there).await? == contents {
            return Ok(Ok(all));
        }
        // Rows that are missing come back, even if not quite as they were.
        if change.remove.is_empty() {
            return Ok(Ok(change));
        }
        Ok(Err("rows that are to be written again would not be what they were: they were enriched by other rules or \
                with another geo database. Set WEIR_GEO_DATABASE to the one that their geo_built names"
            .to_owned()))
    }

    /// What would be in the range's rows after a change.
    async fn contents_after(
        &self,
        range: &LedgerRange,
        change: &Change,
        there: &There,
    ) -> Result<Contents, MendError> {
        let removed: BTreeSet<u64> = change.remove.iter().copied().collect();
        let kept = there.iter().filter(|(at, _)| !removed.contains(&at.number()));
        let mut contents = Contents::default();
        kept.flat_map(|(_, rows)| rows).for_each(|row| contents.add(row.contents));
        if change.insert.is_empty() {
            return Ok(contents);
        }
        let mut records = Records::open(self.stores.log, self.partition, (range.lo, range.hi)).await?;
        loop {
            let read = records.next().await?;
            if read.is_empty() {
                return Ok(contents);
            }
            let events = self.to_insert(decode_as_judged(&read, self.letters).events, &change.insert);
            let block = Block::of(&events, self.stores.enricher);
            block.contents().for_each(|(_, _, written)| contents.add(written));
        }
    }

    /// The range's readable events, in order.
    async fn accepted(&self, offsets: (u64, u64)) -> Result<Vec<(Position, Identity)>, MendError> {
        let mut records = Records::open(self.stores.log, self.partition, offsets).await?;
        let mut accepted = Vec::new();
        loop {
            let read = records.next().await?;
            if read.is_empty() {
                return Ok(accepted);
            }
            let decoded = decode_as_judged(&read, self.letters);
            accepted.extend(decoded.events.iter().map(|placed| (placed.position, Identity::of(placed))));
        }
    }

    /// Which rows there must be, by the rule that the ledger's figures come from.
    async fn judge(
        &mut self,
        range: &LedgerRange,
        accepted: &[(Position, Identity)],
        there: &There,
    ) -> Result<Result<BTreeMap<Position, Identity>, String>, MendError> {
        let window = i64::try_from(self.stores.dedup_window.as_micros()).unwrap_or(i64::MAX);
        let oldest = accepted.iter().map(|(_, identity)| identity.received_at.0).min().unwrap_or_default();
        let since = Micros(oldest.saturating_sub(window)).hour();
        self.firsts.fill_to(self.stores.clickhouse, self.partition, range.lo, since).await?;
        let mut expected: BTreeMap<Position, Identity> = BTreeMap::new();
        let mut repeated = Vec::new();
        for &(position, identity) in accepted {
            if self.firsts.is_first(&identity, position, window) {
                expected.insert(position, identity);
            } else {
                repeated.push((position, identity));
            }
        }
        self.firsts.judged_to(range.hi);
        if is_counted(range, &expected) {
            return Ok(Ok(expected));
        }
        // A processor that had forgotten an id, beyond the window, or that started while rows were missing, has stored
        // it again: its row is there.
        let stored_again = repeated.into_iter().filter(|(at, identity)| {
            there.get(at).is_some_and(|there| there.iter().any(|row| row.identity == *identity))
        });
        expected.extend(stored_again);
        if is_counted(range, &expected) {
            return Ok(Ok(expected));
        }
        Ok(Err(format!(
            "by the log {} events of it are stored, by the ledger {}",
            expected.len(),
            range.sum.counts.stored
        )))
    }

    fn change(&self, expected: &BTreeMap<Position, Identity>, there: &There) -> Change {
        let mut change = Change::default();
        for (at, found) in there {
            let is_right = match (expected.get(at), found.as_slice()) {
                (Some(expected), [row]) => row.identity == *expected && !row.is_altered,
                _ => false,
            };
            if !is_right {
                change.remove.push(at.number());
            }
        }
        if self.selection.is_some() {
            change.remove.clear();
        }
        let removed: BTreeSet<u64> = change.remove.iter().copied().collect();
        let is_missing = |at: &Position| !there.contains_key(at) || removed.contains(&at.number());
        change.insert = expected.keys().filter(|at| is_missing(at)).copied().collect();
        change
    }

    async fn remove(&self, range: &LedgerRange, change: &Change, there: &There) -> Result<usize, MendError> {
        let (client, partition) = (self.stores.clickhouse, self.partition);
        if change.remove.len() == there.len() && !there.is_empty() {
            rows::remove_range(client, partition, (range.lo, range.hi)).await?;
        } else {
            rows::remove(client, partition, &change.remove).await?;
        }
        let rows = |at: &u64| there.get(&Position::from_number(*at)).map_or(0, Vec::len);
        Ok(change.remove.iter().map(rows).sum())
    }

    /// Reads the range again and inserts the rows at these positions.
    async fn insert(&self, offsets: (u64, u64), missing: &BTreeSet<Position>) -> Result<usize, MendError> {
        let mut inserted = 0;
        if missing.is_empty() {
            return Ok(inserted);
        }
        let mut records = Records::open(self.stores.log, self.partition, offsets).await?;
        loop {
            let read = records.next().await?;
            if read.is_empty() {
                return Ok(inserted);
            }
            inserted += self.insert_of(decode_as_judged(&read, self.letters).events, missing).await?;
        }
    }

    async fn insert_of(
        &self,
        events: Vec<Placed<'_>>,
        missing: &BTreeSet<Position>,
    ) -> Result<usize, MendError> {
        let events = self.to_insert(events, missing);
        if !events.is_empty() {
            let Stores { clickhouse, insert_deadline, enricher, .. } = *self.stores;
            rows::insert(clickhouse, enricher, insert_deadline, &events).await?;
        }
        Ok(events.len())
    }

    /// Of these events those at the missing positions that may come back.
    fn to_insert<'e>(&self, mut events: Vec<Placed<'e>>, missing: &BTreeSet<Position>) -> Vec<Placed<'e>> {
        let is_selected = |placed: &Placed<'_>| self.selection.is_none_or(|selection| selection.has(placed));
        events.retain(|placed| {
            missing.contains(&placed.position) && is_selected(placed) && !self.erased.covers(placed)
        });
        events
    }
}

/// Whether these rows are what the ledger counted.
fn is_counted(range: &LedgerRange, expected: &BTreeMap<Position, Identity>) -> bool {
    let xor_hash = expected.values().fold(0, |xor, identity| xor ^ identity.hash.low_bits());
    usize::try_from(range.sum.counts.stored) == Ok(expected.len()) && xor_hash == range.sum.xor_hash
}
