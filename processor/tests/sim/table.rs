//! ClickHouse, as far as it matters: rows by position, and inserts that take their time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use processor::batch::Range;
use processor::block::Block;
use processor::own::Owned;
use processor::repair::{Present, There};
use processor::stores::{Ids, Table};
use schemas::content::ContentHash;
use schemas::id::Position;
use schemas::time::Micros;
use seen::Seen;
use service::store::StoreError;
use tokio::time::{Instant, sleep_until};

use crate::world::{ByPosition, Handle, Mutant, State, TABLE, failed};

/// A row: where it stands, and its bytes.
type Row = (u32, Position, Vec<u8>);

#[derive(Debug, Default)]
pub(crate) struct ClickHouse {
    /// The rows of each position, without `FINAL`.
    pub(crate) rows: ByPosition<Vec<Vec<u8>>>,
    /// Partitions for which somebody inserted who was not their owner any more.
    pub(crate) tainted: BTreeSet<u32>,
    inserts: Vec<Insert>,
    /// Inserts that were ended before they were done.
    killed: BTreeSet<u64>,
    number: u64,
}

/// An insert that ClickHouse is at.
#[derive(Debug)]
struct Insert {
    number: u64,
    query_id: String,
    /// What goes to each table partition, and when.
    parts: VecDeque<(Instant, Vec<Row>)>,
}

/// When the client hears of its insert, and what.
struct Reply {
    at: Instant,
    number: u64,
    good: bool,
}

impl ClickHouse {
    /// Writes what is due.
    pub(crate) fn settle(&mut self, now: Instant) {
        for insert in &mut self.inserts {
            while insert.parts.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, rows)) = insert.parts.pop_front() {
                    write(&mut self.rows, rows);
                }
            }
        }
        self.inserts.retain(|insert| !insert.parts.is_empty());
    }

    /// Writes what is left, with or without somebody who waits for it.
    pub(crate) fn settle_all(&mut self) {
        for (_, rows) in self.inserts.drain(..).flat_map(|insert| insert.parts) {
            write(&mut self.rows, rows);
        }
    }

    /// Ends inserts, one way or the other.
    fn end(&mut self, ends: impl Fn(&str) -> bool, mut completes: impl FnMut() -> bool) -> usize {
        let (ended, others) =
            std::mem::take(&mut self.inserts).into_iter().partition::<Vec<_>, _>(|i| ends(&i.query_id));
        self.inserts = others;
        let count = ended.len();
        for insert in ended {
            for (_, rows) in insert.parts {
                if !completes() {
                    self.killed.insert(insert.number);
                    break;
                }
                write(&mut self.rows, rows);
            }
        }
        count
    }

    fn from(&self, partition: u32, lo: u64, hi: u64) -> impl Iterator<Item = Position> {
        let range = (partition, Position::first_of(lo))..(partition, Position::first_of(hi));
        self.rows.range(range).map(|((_, position), _)| *position)
    }
}

impl ClickHouse {
    /// What is in the row there, by its last column.
    pub(crate) fn contents(&self, row: (u32, Position)) -> ContentHash {
        let bytes = self.rows.get(&row).and_then(|rows| rows.first()?.last_chunk());
        bytes.map_or(ContentHash::NONE, |bytes| ContentHash(u128::from_le_bytes(*bytes)))
    }
}

fn write(table: &mut ByPosition<Vec<Vec<u8>>>, rows: Vec<Row>) {
    for (partition, position, bytes) in rows {
        table.entry((partition, position)).or_default().push(bytes);
    }
}

impl State {
    /// Takes an insert in, and decides what becomes of it.
    fn begin_insert(&mut self, process: usize, query_id: &str, block: &Block, deadline: Duration) -> Reply {
        self.settle();
        let now = Instant::now();
        let mut months: BTreeMap<u8, Vec<Row>> = BTreeMap::new();
        for (partition, position, bytes) in block.rows() {
            let month =
                self.journal.events.get(&(partition, position)).map_or(0, crate::journal::Sent::month);
            months.entry(month).or_default().push((partition, position, bytes.to_vec()));
            let owner = self.books.cursors[partition as usize].owner;
            if owner != self.processes[process].node && self.table.tainted.insert(partition) {
                self.count("partitions written by a zombie");
            }
        }
        self.table.number += 1;
        let (number, rng) = (self.table.number, &mut self.rng);
        let fault = if self.faulty { rng.below(100) } else { 99 };
        if now < self.table_back_at || fault < 4 {
            self.note(process, || format!("insert {number} is refused"));
            return Reply { at: now, number, good: false };
        }
        // Table partitions are written one after the other.
        let pace = if fault < 12 { 60_000 } else { 50 };
        let mut at = now;
        let mut parts = VecDeque::new();
        for rows in months.into_values() {
            at += rng.millis(0, pace);
            parts.push_back((at, rows));
        }
        let is_slow = at - now >= deadline;
        let (good, reply_at) = match fault {
            // Given up, or the connection broke: it goes on.
            0..12 => {
                *self.happened.entry("inserts given up").or_default() += 1;
                (false, now + rng.millis(0, 30_000))
            }
            // Done, but nobody hears of it.
            12..20 => {
                *self.happened.entry("inserts unanswered").or_default() += 1;
                (false, at + rng.millis(0, 1_000))
            }
            // Only a part of it, or nothing.
            20..28 => {
                let left = rng.index(parts.len());
                *self
                    .happened
                    .entry(if left == 0 { "inserts lost" } else { "inserts in part" })
                    .or_default() += 1;
                parts.truncate(left);
                (self.mutant == Some(Mutant::ConfirmsLost), at)
            }
            _ => (!is_slow, at),
        };
        let rows = parts.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        let what = format!(
            "insert {number}: {rows} of {} rows until {:?} later, {}",
            block.len(),
            at - now,
            if good { "confirmed" } else { "not confirmed" }
        );
        self.note(process, || what);
        self.table.inserts.push(Insert { number, query_id: query_id.to_owned(), parts });
        Reply { at: reply_at.min(now + deadline), number, good }
    }
}

impl Table for Handle {
    async fn insert(&self, query_id: &str, block: &Block, deadline: Duration) -> Result<(), StoreError> {
        self.pass().await;
        let reply = self.state().begin_insert(self.process, query_id, block, deadline);
        sleep_until(reply.at).await;
        let good = {
            let state = &mut *self.state();
            state.settle();
            reply.good && !state.table.killed.contains(&reply.number)
        };
        self.pass().await;
        if good { Ok(()) } else { Err(failed(TABLE, "the insert was not confirmed")) }
    }

    async fn end_insert(&self, query_id: &str) -> Result<(), StoreError> {
        self.ask(TABLE, |state| {
            let State { table, rng, mutant, .. } = state;
            let ends = |id: &str| id == query_id && *mutant != Some(Mutant::InsertGoesOn);
            let ended = table.end(ends, || rng.permille(500));
            (format!("ends its insert: {ended}"), ())
        })
        .await
    }

    async fn end_inserts_for(&self, taken: &[Owned]) -> Result<(), StoreError> {
        self.ask(TABLE, |state| {
            let State { table, rng, mutant, .. } = state;
            let for_one = |id: &str, own: &Owned| id.contains(&format!("-p{}-", own.partition));
            let ends =
                |id: &str| taken.iter().any(|own| for_one(id, own)) && *mutant != Some(Mutant::OthersGoOn);
            let ended = table.end(ends, || rng.permille(500));
            *state.happened.entry("inserts of others ended").or_default() += ended as u64;
            let partitions: Vec<_> = taken.iter().map(|own| own.partition).collect();
            (format!("ends inserts for {partitions:?}: {ended}"), ())
        })
        .await
    }

    async fn present(&self, ranges: &[Range]) -> Result<Present, StoreError> {
        self.ask(TABLE, |state| {
            let mut present = Present::new();
            if !state.is(Mutant::NothingPresent) {
                for range in ranges {
                    let partition = range.partition;
                    let there = state.table.from(partition, range.lo, range.hi);
                    present.extend(there.map(|position| {
                        let row = (partition, position);
                        let contents = state.table.contents(row);
                        (row, There { contents, enriched_by: (processor::enrich::VERSION, 0) })
                    }));
                }
            }
            let spans: Vec<_> = ranges.iter().map(|range| (range.partition, range.lo, range.hi)).collect();
            (format!("reads back {spans:?}: {} there", present.len()), present)
        })
        .await
    }

    async fn dirty_until(&self, owned: &[Owned]) -> Result<BTreeMap<u32, u64>, StoreError> {
        self.ask(TABLE, |state| {
            let mut dirty = BTreeMap::new();
            if !state.is(Mutant::NeverDirty) {
                for own in owned {
                    let last = state.table.from(own.partition, own.next_offset, 1 << 47).last();
                    dirty.extend(last.map(|position| (own.partition, position.offset() + 1)));
                }
            }
            (format!("looks for rows beyond the cursors: until {dirty:?}"), dirty)
        })
        .await
    }

    async fn newest_id(&self, partition: u32, from: Position) -> Result<Option<Micros>, StoreError> {
        self.ask(TABLE, |state| {
            let newest = state.ids(partition, from).map(|seen| seen.received_at).max();
            (format!("asks for the ids of {partition} from {from:?}"), newest)
        })
        .await
    }

    type Ids = Read;

    /// How often it is asked depends on what has come to disk: so it draws nothing, and takes no time.
    fn ids_since(
        &self,
        partition: u32,
        from: Position,
        since: Micros,
        until: Option<Micros>,
    ) -> Result<Self::Ids, StoreError> {
        let state = &mut *self.state();
        state.settle();
        let within =
            |seen: &Seen| seen.received_at >= since && until.is_none_or(|until| seen.received_at < until);
        Ok(Read(state.ids(partition, from).filter(within).collect::<Vec<_>>().into_iter()))
    }
}

/// Ids as they were when they were asked for.
pub(crate) struct Read(std::vec::IntoIter<Seen>);

impl Ids for Read {
    async fn next(&mut self) -> Result<Option<Seen>, StoreError> {
        Ok(self.0.next())
    }
}

impl State {
    /// The ids of a partition's rows at or after `from`.
    fn ids(&self, partition: u32, from: Position) -> impl Iterator<Item = Seen> {
        let end = if self.is(Mutant::ForgetsIds) { 0 } else { 1 << 47 };
        let rows = self.table.from(partition, 0, end).filter(move |position| *position >= from);
        rows.filter_map(move |position| {
            let sent = self.journal.events.get(&(partition, position))?;
            Some(Seen { project: sent.project, hash: sent.hash, position, received_at: sent.received_at })
        })
    }
}
