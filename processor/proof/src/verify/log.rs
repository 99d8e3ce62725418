//! The log against the ledgers: its events are judged again, and what they come to is what was counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use eventlog::{Bounds, LogError, Record};
use metering::ledger::Counts;
use processor::batch::{self, Placed};
use processor::block::Block;
use processor::commit::RangeSum;
use schemas::id::{EventHash, Position};
use schemas::time::Micros;
use service::store::StoreError;

use super::aside::{Aside, Entry};
use super::contents;
use super::judge::Judged;
use crate::books::{BilledHour, Books, HourOf};
use crate::db::known_ids::{self, Known};
use crate::stores::Stores;
use crate::verdict::Verdict;

const READ_BYTES: usize = 8 << 20;
const READ_WAIT: Duration = Duration::from_secs(10);
/// Events whose rows are made at once.
const ROWS_AT_ONCE: usize = 10_000;
/// Ids that are set aside at once.
const IDS_AT_ONCE: usize = 100_000;
/// What [`StoreError`] calls the disk.
const SCRATCH: &str = "the folder in which a proof sets events aside (in WEIR_DATA_DIR)";

/// Reads the log up to the cursors and compares it with the ledgers.
pub(super) async fn check(
    books: &Arc<Books>,
    stores: &Stores<'_>,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let bounds = stores.log.bounds().await?;
    let starts = starts(books, &bounds);
    let mut pass = Pass::begin(books, stores)?;
    pass.read_known(&starts).await?;
    pass.read_log(&starts).await?;
    let (read, judged) = pass.judge().await?;
    verdict.expect(
        || "the log".to_owned(),
        ("events whose hash is not of their project and id", &read.misnamed),
        ("expected", &0),
    );
    let compared = compare_ranges(books, &starts, &read, &judged, verdict);
    for (key, sum) in compared.doubtful {
        if contents::is_of_erased_firsts(books, stores, key, &sum).await? {
            verdict.undecided += sum.counts.accepted();
        } else {
            expect_counts(key, &sum, books, verdict);
        }
    }
    for range in compared.altered {
        contents::check(books, stores, range, verdict).await?;
    }
    // Hours can be compared only while the log has every record of them.
    if bounds.iter().all(|bounds| bounds.start == 0) {
        compare_hours(books, &read, &judged, verdict);
    }
    Ok(())
}

/// The first offset of each partition that is read.
fn starts(books: &Books, bounds: &[Bounds]) -> BTreeMap<u32, u64> {
    let cursor = |partition| books.cursors.get(&partition).copied().unwrap_or(0);
    (0..).zip(bounds).map(|(partition, bounds)| (partition, bounds.start.min(cursor(partition)))).collect()
}

/// Ranges that have to be looked at event by event.
#[derive(Default)]
struct Compared {
    /// Whose contents are not what would be written today: rows of another geo database are among them.
    altered: Vec<(u32, u64)>,
    /// That were judged otherwise than by the ledger, in a log that has lost its beginning.
    doubtful: Vec<((u32, u64), RangeSum)>,
}

/// By range of the ledger.
fn compare_ranges(
    books: &Books,
    starts: &BTreeMap<u32, u64>,
    read: &Read,
    judged: &Judged,
    verdict: &mut Verdict,
) -> Compared {
    let mut compared = Compared::default();
    for (&key @ (partition, lo), &(hi, ledger)) in &books.ranges {
        let counted = ledger.counts.accepted();
        if lo < starts.get(&partition).copied().unwrap_or(0) {
            verdict.beyond_log += counted;
            continue;
        }
        let mut sum = judged.ranges.get(&key).copied().unwrap_or_default();
        sum.counts.dead += read.dead_by_range.get(&key).copied().unwrap_or(0);
        let found = sum.counts.accepted();
        verdict.accepted += found;
        let what = || format!("partition {partition}, offsets [{lo}, {hi})");
        verdict.expect(what, ("accepted", &found), ("stored + duplicate + dead", &counted));
        if judged.undecided.ranges.contains(&key) {
            continue;
        }
        let start = starts.get(&partition).copied().unwrap_or(0);
        let is_same = sum.counts == ledger.counts && sum.xor_hash == ledger.xor_hash;
        if !is_same && start > 0 && sum.counts.stored > ledger.counts.stored {
            compared.doubtful.push((key, sum));
            continue;
        }
        expect_counts(key, &sum, books, verdict);
        let is_known = ledger.contents.hashed == ledger.counts.stored;
        if is_known && is_same && sum.contents.xor != ledger.contents.xor {
            compared.altered.push(key);
        }
    }
    compared
}

fn expect_counts(key: (u32, u64), sum: &RangeSum, books: &Books, verdict: &mut Verdict) {
    let Some(&(hi, ledger)) = books.ranges.get(&key) else { return };
    let what = || format!("partition {}, offsets [{}, {hi})", key.0, key.1);
    let (by_log, by_ledger) = (sum.counts, ledger.counts);
    verdict.expect(what, ("stored by the log", &by_log.stored), ("by the ledger", &by_ledger.stored));
    verdict.expect(
        what,
        ("duplicate by the log", &by_log.duplicate),
        ("by the ledger", &by_ledger.duplicate),
    );
    verdict.expect(what, ("dead by the log", &by_log.dead), ("by the ledger", &by_ledger.dead));
    verdict.expect(what, ("hash by the log", &sum.xor_hash), ("in the ledger", &ledger.xor_hash));
}

fn compare_hours(books: &Books, read: &Read, judged: &Judged, verdict: &mut Verdict) {
    // A letter's period is not kept: what is dead is compared by hour.
    let mut hours: BTreeMap<HourOf, Counts> = BTreeMap::new();
    for (account, counts) in judged.accounts.iter().zip(&judged.counts) {
        *hours.entry(account.of).or_default() += *counts;
    }
    for (hour, dead) in &read.dead_by_hour {
        hours.entry(*hour).or_default().dead += dead;
    }
    let usage = books.by_hour();
    let all: BTreeSet<HourOf> = usage.keys().chain(hours.keys()).copied().collect();
    for hour in all {
        let counted = usage.get(&hour).copied().unwrap_or_default().accepted();
        let found = hours.get(&hour).copied().unwrap_or_default().accepted();
        verdict.expect(|| format!("{hour:?}"), ("accepted", &found), ("stored + duplicate + dead", &counted));
    }
    let found: BTreeMap<BilledHour, Counts> =
        judged.accounts.iter().copied().zip(judged.counts.iter().copied()).collect();
    let all: BTreeSet<BilledHour> = found.keys().chain(books.usage.keys()).copied().collect();
    for account in all.into_iter().filter(|account| !judged.undecided.hours.contains(&account.of)) {
        let found = found.get(&account).copied().unwrap_or_default();
        let usage = books.usage.get(&account).copied().unwrap_or_default();
        let what = || format!("{account:?}");
        verdict.expect(what, ("stored by the log", &found.stored), ("in usage", &usage.stored));
        verdict.expect(what, ("duplicate by the log", &found.duplicate), ("in usage", &usage.duplicate));
    }
    let metered: i64 = books.usage.values().map(Counts::accepted).sum();
    verdict.expect(
        || "all".to_owned(),
        ("metered, and dead without a tenant", &(metered + read.unattributed)),
        ("accepted", &verdict.accepted.clone()),
    );
}

/// What reading has found that needs no judging.
#[derive(Debug, Default)]
struct Read {
    dead_by_range: BTreeMap<(u32, u64), i64>,
    dead_by_hour: BTreeMap<HourOf, i64>,
    /// Of records of which not even the envelope can be read.
    unattributed: i64,
    misnamed: i64,
}

/// One pass over the log.
struct Pass<'a> {
    books: &'a Arc<Books>,
    stores: &'a Stores<'a>,
    read: Read,
    aside: Option<Aside>,
    accounts: Vec<BilledHour>,
    places: BTreeMap<BilledHour, u32>,
    /// By partition: when its newest event was received, and its oldest.
    newest: BTreeMap<u32, Micros>,
}

impl<'a> Pass<'a> {
    fn begin(books: &'a Arc<Books>, stores: &'a Stores<'a>) -> Result<Self, StoreError> {
        let events: i64 = books.ranges.values().map(|(_, sum)| sum.counts.accepted()).sum();
        let aside = Aside::begin(stores.scratch, events.unsigned_abs()).map_err(disk_failed)?;
        Ok(Self {
            books,
            stores,
            read: Read::default(),
            aside: Some(aside),
            accounts: Vec::new(),
            places: BTreeMap::new(),
            newest: BTreeMap::new(),
        })
    }

    /// The ids that were stored before the log's first records, as far as these can repeat them.
    async fn read_known(&mut self, starts: &BTreeMap<u32, u64>) -> Result<(), StoreError> {
        let window = i64::try_from(self.stores.dedup_window.as_micros()).unwrap_or(i64::MAX);
        for (&partition, &start) in starts.iter().filter(|(_, start)| **start > 0) {
            let Some(newest) = known_ids::newest_before(self.stores.clickhouse, partition, start).await?
            else {
                continue;
            };
            // Twice the window: the log's first records may be as much older than what stands before them.
            let since = Micros(newest.0.saturating_sub(window).saturating_sub(window)).hour();
            let mut ids = known_ids::within(self.stores.clickhouse, partition, (0, start), since)?;
            let mut entries = Vec::new();
            while let Some(Known { id: (project, hash), position, received_at }) = ids.next().await? {
                entries.push(Entry {
                    project,
                    hash,
                    partition,
                    account: Entry::KNOWN,
                    position,
                    received_at,
                    newest: received_at,
                    contents: 0,
                });
                if entries.len() == IDS_AT_ONCE {
                    self.set_aside(std::mem::take(&mut entries)).await?;
                }
            }
            self.set_aside(entries).await?;
        }
        Ok(())
    }

    async fn read_log(&mut self, starts: &BTreeMap<u32, u64>) -> Result<(), StoreError> {
        let start_of = |partition: &u32| starts.get(partition).copied();
        let is_left =
            |(partition, cursor): &(&u32, &u64)| start_of(partition).is_some_and(|at| at < **cursor);
        let mut left: BTreeMap<u32, u64> = self
            .books
            .cursors
            .iter()
            .filter(is_left)
            .map(|(partition, cursor)| (*partition, *cursor))
            .collect();
        let from: Vec<(u32, u64)> =
            left.keys().filter_map(|partition| Some((*partition, start_of(partition)?))).collect();
        if from.is_empty() {
            return Ok(());
        }
        let mut reader = self.stores.log.reader(&from).await?;
        while !left.is_empty() {
            let mut records = reader.read(READ_BYTES, READ_WAIT).await?;
            if records.is_empty() {
                let why = "the log does not bring the records up to the cursors";
                return Err(LogError::Unavailable(why.to_owned()).into());
            }
            records
                .retain(|record| left.get(&record.partition).is_some_and(|cursor| record.offset < *cursor));
            self.take(&records).await?;
            for record in &records {
                if left.get(&record.partition).is_some_and(|cursor| record.offset + 1 >= *cursor) {
                    left.remove(&record.partition);
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let decoded = batch::decode_as_judged(records, &self.books.letters);
        for rest in &decoded.unreadable {
            let hour = rest.envelope.map(|envelope| HourOf {
                tenant: envelope.tenant,
                project: envelope.project,
                hour: envelope.received_at.hour(),
            });
            self.is_dead((rest.partition, rest.position), hour, i64::from(rest.events));
        }
        for letter in &decoded.letters {
            if let Some((hour, events)) = self.books.dead.get(letter) {
                self.is_dead(*letter, *hour, *events);
            }
        }
        for placed in decoded.events.chunks(ROWS_AT_ONCE) {
            let block = Block::of(placed, self.stores.enricher);
            let rows = placed.iter().zip(block.contents());
            let entries = rows.map(|(placed, (.., hash))| self.entry(placed, hash.low_bits())).collect();
            self.set_aside(entries).await?;
        }
        Ok(())
    }

    fn is_dead(&mut self, (partition, position): (u32, Position), hour: Option<HourOf>, events: i64) {
        let range = self.books.range_at(partition, position.offset());
        *self.read.dead_by_range.entry(range).or_default() += events;
        match hour {
            Some(hour) => *self.read.dead_by_hour.entry(hour).or_default() += events,
            None => self.read.unattributed += events,
        }
    }

    fn entry(&mut self, placed: &Placed<'_>, contents: i64) -> Entry {
        let (partition, envelope, event) = (placed.partition, &placed.envelope, &placed.event);
        self.read.misnamed += i64::from(EventHash::of(envelope.project, event.id) != event.hash);
        let hour = envelope.received_at.hour();
        let of = HourOf { tenant: envelope.tenant, project: envelope.project, hour };
        let period = Micros(envelope.period_start.saturating_mul(Micros::SECOND));
        let account = BilledHour { of, period };
        let next = u32::try_from(self.accounts.len()).unwrap_or(Entry::KNOWN);
        let account = *self.places.entry(account).or_insert_with(|| {
            self.accounts.push(account);
            next
        });
        let newest = self.newest.entry(partition).or_insert(envelope.received_at);
        *newest = (*newest).max(envelope.received_at);
        Entry {
            project: envelope.project,
            hash: event.hash,
            partition,
            account,
            position: placed.position,
            received_at: envelope.received_at,
            newest: *newest,
            contents,
        }
    }

    /// Where it holds up nobody.
    async fn set_aside(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let Some(mut aside) = self.aside.take() else { return Err(lost()) };
        let work = move || aside.add(&entries).map(|()| aside);
        self.aside = Some(tokio::task::spawn_blocking(work).await.map_err(failed)?.map_err(disk_failed)?);
        Ok(())
    }

    /// Judges what was set aside, a part at a time, where it holds up nobody.
    async fn judge(self) -> Result<(Read, Judged), StoreError> {
        let window = i64::try_from(self.stores.dedup_window.as_micros()).unwrap_or(i64::MAX);
        let mut parts = self.aside.ok_or_else(lost)?.finish().map_err(disk_failed)?;
        let mut judged = Judged::begin(self.accounts, self.books);
        loop {
            let books = Arc::clone(self.books);
            let work = move || {
                let part = parts.next()?;
                if let Some(part) = &part {
                    judged.add(part, &books, window);
                }
                Ok((parts, judged, part.is_some()))
            };
            let done = tokio::task::spawn_blocking(work).await.map_err(failed)?.map_err(disk_failed)?;
            let is_there;
            (parts, judged, is_there) = done;
            if !is_there {
                return Ok((self.read, judged));
            }
            let mut present = HashSet::new();
            for (partition, positions) in judged.open() {
                for positions in positions.chunks(known_ids::POSITIONS_MAX) {
                    let there = known_ids::at(self.stores.clickhouse, partition, positions).await?;
                    present.extend(there.into_iter().map(|position| (partition, position)));
                }
            }
            judged.close(&present, self.books, window);
        }
    }
}

fn disk_failed(error: std::io::Error) -> StoreError {
    StoreError::retry(SCRATCH, error)
}

fn failed(error: tokio::task::JoinError) -> StoreError {
    disk_failed(std::io::Error::other(error))
}

fn lost() -> StoreError {
    disk_failed(std::io::Error::other("writing to it has failed before"))
}
