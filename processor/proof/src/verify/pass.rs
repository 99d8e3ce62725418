//! One pass over a partition of the log: its events are set aside by their ids, then judged a part at a time.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use eventlog::Record;
use processor::batch::{self, Placed};
use processor::block::Block;
use processor::enrich::Enricher;
use schemas::id::{EventHash, Position};
use schemas::time::Micros;
use service::store::StoreError;

use super::aside::{Aside, Entry, Parts};
use super::by_log::{ByLog, Payer};
use super::judge::Judged;
use crate::books::{Books, HourOf, LedgerRange};
use crate::db::known_ids::{self, Known};
use crate::records::Records;
use crate::scratch::{blocking, disk_failed};
use crate::stores::Stores;

/// Events whose rows are made at once.
const ROWS_AT_ONCE: usize = 10_000;
/// Ids that are set aside at once.
const IDS_AT_ONCE: usize = 100_000;

/// A partition's events while they are set aside.
pub(super) struct Pass {
    partition: u32,
    books: Arc<Books>,
    ranges: Arc<Vec<LedgerRange>>,
    /// The place of the range that the last record stands in.
    at: usize,
    enricher: Enricher,
    aside: Aside,
    by_log: ByLog,
    payer: Option<(Payer, u32)>,
    /// When the newest event so far was received.
    newest: Micros,
    /// By the range's place: accepted events that are dead.
    dead: Vec<i64>,
}

impl Pass {
    /// Judges what the log has of a partition at `[start, cursor)`. `by_log` has what other partitions come to.
    pub(super) async fn judged(
        (books, stores): (&Arc<Books>, &Stores<'_>),
        (partition, start, cursor): (u32, u64, u64),
        by_log: ByLog,
    ) -> Result<Judged, StoreError> {
        let ranges = books.ranges.get(&partition).cloned().unwrap_or_default();
        let from_start = ranges.iter().filter(|range| range.hi > start);
        let events: i64 = from_start.map(|range| range.sum.counts.accepted()).sum();
        let pass = Self {
            partition,
            books: Arc::clone(books),
            dead: vec![0; ranges.len()],
            ranges,
            at: 0,
            enricher: stores.enricher.clone(),
            aside: Aside::begin(stores.scratch, events.unsigned_abs()).map_err(disk_failed)?,
            by_log,
            payer: None,
            newest: Micros(i64::MIN),
        };
        let pass = if start > 0 { pass.read_known(stores, start).await? } else { pass };
        pass.read_log(stores, (start, cursor)).await?.judge(stores).await
    }

    /// The ids that were stored before the log's first record, as far as it and later ones can repeat them.
    async fn read_known(mut self, stores: &Stores<'_>, start: u64) -> Result<Self, StoreError> {
        let (client, window) = (stores.clickhouse, window(stores));
        let Some(newest) = known_ids::newest_before(client, self.partition, start).await? else {
            return Ok(self);
        };
        // Twice the window: the log's first records may be as much older than what stands before them.
        let since = Micros(newest.0.saturating_sub(window).saturating_sub(window)).hour();
        let mut ids = known_ids::within(client, self.partition, (0, start), since)?;
        loop {
            let mut entries = Vec::new();
            while entries.len() < IDS_AT_ONCE
                && let Some(Known { id: (project, hash), position, received_at }) = ids.next().await?
            {
                entries.push(Entry {
                    project,
                    hash,
                    range: 0,
                    account: Entry::KNOWN,
                    position,
                    received_at,
                    newest: received_at,
                    contents: 0,
                });
            }
            if entries.is_empty() {
                return Ok(self);
            }
            self = blocking(move || self.aside.add(&entries).map(|()| self)).await?;
        }
    }

    async fn read_log(
        mut self,
        stores: &Stores<'_>,
        (start, cursor): (u64, u64),
    ) -> Result<Self, StoreError> {
        if start >= cursor {
            return Ok(self);
        }
        let mut records = Records::open(stores.log, self.partition, (start, cursor)).await?;
        let mut read = records.next().await?;
        while !read.is_empty() {
            // What is read next comes while these are judged.
            let taken = blocking(move || self.take(&read).map(|()| self));
            let (taken, next) = tokio::join!(taken, records.next());
            (self, read) = (taken?, next?);
        }
        Ok(self)
    }

    fn take(&mut self, records: &[Record]) -> io::Result<()> {
        let books = Arc::clone(&self.books);
        let decoded = batch::decode_as_judged(records, &books.letters);
        for rest in &decoded.unreadable {
            let hour = rest.envelope.map(|envelope| HourOf {
                hour: envelope.received_at.hour(),
                tenant: envelope.tenant,
                project: envelope.project,
            });
            self.is_dead(rest.position, hour, i64::from(rest.events));
        }
        for letter @ (_, position) in &decoded.letters {
            if let Some((hour, events)) = books.dead.get(letter) {
                self.is_dead(*position, *hour, *events);
            }
        }
        for placed in decoded.events.chunks(ROWS_AT_ONCE) {
            let block = Block::of(placed, &self.enricher);
            let rows = placed.iter().zip(block.contents());
            let entries: Vec<Entry> =
                rows.map(|(placed, (.., hash))| self.entry(placed, hash.low_bits())).collect();
            self.aside.add(&entries)?;
        }
        Ok(())
    }

    fn is_dead(&mut self, position: Position, hour: Option<HourOf>, events: i64) {
        let place = crate::books::range_at(&self.ranges, position.offset());
        if let Some(dead) = place.and_then(|place| self.dead.get_mut(place)) {
            *dead += events;
        }
        self.by_log.add_dead(hour, events);
    }

    fn entry(&mut self, placed: &Placed<'_>, contents: i64) -> Entry {
        let (envelope, event) = (&placed.envelope, &placed.event);
        self.by_log.misnamed += i64::from(EventHash::of(envelope.project, event.id) != event.hash);
        let period = Micros(envelope.period_start.saturating_mul(Micros::SECOND));
        let payer = Payer { tenant: envelope.tenant, project: envelope.project, period };
        let account = match self.payer {
            Some((last, place)) if last == payer => place,
            _ => self.by_log.place(payer),
        };
        self.payer = Some((payer, account));
        self.newest = self.newest.max(envelope.received_at);
        Entry {
            project: envelope.project,
            hash: event.hash,
            range: self.range_of(placed.position.offset()),
            account,
            position: placed.position,
            received_at: envelope.received_at,
            newest: self.newest,
            contents,
        }
    }

    /// The place of the range that has the offset: the last one's, or one soon behind it.
    fn range_of(&mut self, offset: u64) -> u32 {
        while self.ranges.get(self.at + 1).is_some_and(|next| next.lo <= offset) {
            self.at += 1;
        }
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// Judges what was set aside, a part at a time, where it holds up nobody.
    async fn judge(self, stores: &Stores<'_>) -> Result<Judged, StoreError> {
        let Self { partition, books, ranges, aside, mut by_log, dead, .. } = self;
        let mut stored_there = Vec::new();
        for letter @ &(of, position) in &books.stored_letters {
            if of == partition {
                stored_there.extend(crate::books::range_at(&ranges, position.offset()));
                by_log.undecided.extend(books.dead.get(letter).and_then(|(hour, _)| *hour));
            }
        }
        let mut judged = Judged::begin(by_log, ranges.len(), window(stores));
        judged.undecided.extend(stored_there);
        for (sum, dead) in judged.ranges.iter_mut().zip(dead) {
            sum.counts.dead = dead;
        }
        let mut parts = aside.finish().map_err(disk_failed)?;
        loop {
            let is_there;
            (parts, judged, is_there) = blocking(move || next_part(parts, judged)).await?;
            if !is_there {
                return Ok(judged);
            }
            let mut present = HashSet::new();
            for positions in judged.open().chunks(known_ids::POSITIONS_MAX) {
                present.extend(known_ids::at(stores.clickhouse, partition, positions).await?);
            }
            let ranges = Arc::clone(&ranges);
            judged = blocking(move || judged.close(&present, &ranges).map(|()| judged)).await?;
        }
    }
}

/// Judges the next part, and says whether there was one.
fn next_part(mut parts: Parts, mut judged: Judged) -> io::Result<(Parts, Judged, bool)> {
    let part = parts.next()?;
    if let Some(part) = &part {
        judged.add(part)?;
    }
    Ok((parts, judged, part.is_some()))
}

/// The dedup window in microseconds.
fn window(stores: &Stores<'_>) -> i64 {
    i64::try_from(stores.dedup_window.as_micros()).unwrap_or(i64::MAX)
}
