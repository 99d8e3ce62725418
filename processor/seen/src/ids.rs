//! The ids of one partition.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use schemas::id::Position;
use schemas::time::Micros;

use crate::disk::{Disk, Held};
use crate::entry::{Entry, Seen};
use crate::hours::{Hours, span_micros};
use crate::look_up::LookUp;
use crate::manifest::Manifest;
use crate::memory::Taken;
use crate::table::Table;

/// Events that are looked up together: so many that those next to one another are near one another on disk, and few
/// enough that what is worked on stays in the CPU's cache.
const CHUNK: usize = 4096;
/// The ids of one partition.
#[derive(Debug)]
pub struct SeenIds {
    /// The youngest ids.
    table: Table,
    /// The table before, until it is on disk.
    frozen: Option<Arc<Table>>,
    disk: Arc<Disk>,
    hours: Hours,
    window: Duration,
    /// Up to here everything was given to this store, if it is filled.
    seen_below: u64,
    /// What the manifest said when it was opened.
    opened_below: u64,
    is_filled: bool,
    /// In which hour the table began.
    table_hour: Option<Micros>,
    places: usize,
    look_up: LookUp,
    /// What is set aside for tables.
    tables: Taken,
}

impl SeenIds {
    /// A store that holds what `manifest` names, with tables of so many `places` in the memory that was taken for them.
    pub(crate) fn of(
        disk: Arc<Disk>,
        manifest: Manifest,
        window: Duration,
        places: usize,
        tables: Taken,
    ) -> Self {
        Self {
            table: Table::new(places),
            frozen: None,
            disk,
            hours: manifest.hours,
            window,
            seen_below: manifest.holds_below,
            opened_below: manifest.holds_below,
            is_filled: false,
            table_hour: None,
            places,
            look_up: LookUp::new(),
            tables,
        }
    }

    /// Notes events in the order of their positions, and says of each whether it is a duplicate: seen at an earlier
    /// position, here or before. Reads the disk, and may wait for it.
    ///
    /// # Errors
    /// If the disk fails, is full, or what is read there is damaged. The store is of no more use then: it has to be
    /// opened again. Nothing is lost.
    pub fn see(&mut self, events: &[Seen]) -> io::Result<Vec<bool>> {
        if !self.is_filled {
            return Err(io::Error::other("seen ids were asked for before they were filled"));
        }
        let mut duplicates = Vec::with_capacity(events.len());
        let mut rest = events;
        while let Some(first) = rest.first() {
            self.make_room(first.received_at)?;
            let (chunk, later) = rest.split_at(rest.len().min(self.table.room()).min(CHUNK));
            self.see_chunk(chunk, &mut duplicates)?;
            rest = later;
        }
        Ok(duplicates)
    }

    fn see_chunk(&mut self, chunk: &[Seen], duplicates: &mut Vec<bool>) -> io::Result<()> {
        let from = duplicates.len();
        self.look_up.begin(chunk.len(), self.hours.keep_from);
        for (place, seen) in chunk.iter().enumerate() {
            let entry = Entry::of(seen);
            let known = self.table.note(entry).is_some_and(|first| first < entry.position);
            duplicates.push(known);
            if !known {
                self.look_up.ask(place, entry.hash);
            }
        }
        let runs = self.disk.runs();
        let found = self.look_up.first_positions(chunk, self.frozen.as_deref(), &runs);
        let found = found.map_err(|error| self.disk.fail(error))?;
        for (place, first) in found {
            let entry = Entry::of(&chunk[place]);
            if first <= entry.position {
                // It is on disk, or on its way: not in the table, too.
                self.table.remove(entry.key());
            }
            duplicates[from + place] = first < entry.position;
        }
        for (seen, is_duplicate) in chunk.iter().zip(&duplicates[from..]) {
            self.hours.received(seen.received_at);
            if !is_duplicate {
                self.hours.note(seen.received_at, seen.position.number());
            }
            self.seen_below = self.seen_below.max(seen.position.number() + 1);
        }
        Ok(())
    }

    /// Notes stored events, in any order.
    ///
    /// # Errors
    /// As [`SeenIds::see`].
    pub fn fill(&mut self, events: &[Seen]) -> io::Result<()> {
        for seen in events {
            if self.table.room() == 0 || self.hours.newest.is_none_or(|newest| newest < seen.received_at) {
                self.make_room(seen.received_at)?;
            }
            self.table.note(Entry::of(seen));
            self.hours.received(seen.received_at);
            self.hours.note(seen.received_at, seen.position.number());
        }
        Ok(())
    }

    /// Says that everything that is stored and stands before `end` has been given to [`SeenIds::fill`], or was here.
    ///
    /// # Errors
    /// As [`SeenIds::see`].
    pub fn filled(&mut self, end: Position) -> io::Result<()> {
        self.is_filled = true;
        self.seen_below = self.seen_below.max(self.opened_below).max(end.number());
        // What took long is not done again after a crash.
        if self.opened_below == 0 { self.write() } else { Ok(()) }
    }

    /// When the newest event was received that this store was given.
    #[must_use]
    pub fn newest(&self) -> Option<Micros> {
        self.hours.newest
    }

    /// Forgets ids first received more than the window, rounded up to whole hours, before `now` or the newest event,
    /// whichever is earlier. Brings the table to disk once an hour, so that no more is read from ClickHouse after a
    /// crash.
    ///
    /// # Errors
    /// As [`SeenIds::see`].
    pub fn forget_before(&mut self, now: Micros) -> io::Result<()> {
        if self.hours.forget_before(now, self.window, self.seen_below) {
            self.table.forget_before(self.hours.keep_from);
            self.disk.forget_before(self.hours.keep_from)?;
        }
        let is_old = self.table_hour < self.hours.newest.map(Micros::hour);
        if self.is_filled && is_old && !self.table.is_empty() && !self.disk.is_flushing()? {
            self.freeze()?;
        }
        Ok(())
    }

    /// Brings everything to disk, and waits for it.
    ///
    /// # Errors
    /// As [`SeenIds::see`].
    pub fn flush(&mut self) -> io::Result<()> {
        if self.table.is_empty() { self.thaw() } else { self.write() }
    }

    fn write(&mut self) -> io::Result<()> {
        self.freeze()?;
        self.thaw()
    }

    /// Waits until the frozen table is on disk, and lets it go.
    fn thaw(&mut self) -> io::Result<()> {
        self.disk.wait_for_flush()?;
        self.frozen = None;
        Ok(())
    }

    /// How many ids are held, those included that wait for their file to be deleted. One that has just come to disk may
    /// count twice.
    #[must_use]
    pub fn len(&self) -> usize {
        let on_disk: u64 = self.disk.runs().iter().map(|run| run.header.ids).sum();
        let frozen = self.frozen.as_ref().map_or(0, |table| table.len());
        self.table.len() + frozen + usize::try_from(on_disk).unwrap_or(usize::MAX)
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many runs there are.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.disk.runs().len()
    }

    /// Bytes of all runs.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk.runs().iter().map(|run| run.header.file_len()).sum()
    }

    /// Bytes of memory that are set aside for tables and not taken yet.
    #[must_use]
    pub fn unused_bytes(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |table| table.bytes());
        self.tables.bytes().saturating_sub((self.table.bytes() + frozen) as u64)
    }

    /// Waits until nothing is written or merged. For tests and benches.
    ///
    /// # Errors
    /// As [`SeenIds::see`].
    pub fn settle(&mut self) -> io::Result<()> {
        self.disk.wait_for_all()?;
        self.thaw()
    }

    /// Lets the table that is on disk go, and freezes the present one if it is full or of an earlier span than
    /// `received_at`.
    fn make_room(&mut self, received_at: Micros) -> io::Result<()> {
        if !self.disk.is_flushing()? {
            self.frozen = None;
        }
        let newest = self.hours.newest.max(Some(received_at));
        let is_new_span = self.span(self.hours.newest) < self.span(newest);
        if !self.table.is_empty() && (self.table.room() == 0 || is_new_span) {
            self.freeze()?;
        }
        self.disk.set_span(self.span(newest));
        Ok(())
    }

    /// Begins a new table, and brings the present one to disk in the background.
    fn freeze(&mut self) -> io::Result<()> {
        self.disk.wait_for_flush()?;
        let table = Arc::new(std::mem::replace(&mut self.table, Table::new(self.places)));
        self.frozen = Some(Arc::clone(&table));
        self.table_hour = self.hours.newest.map(Micros::hour);
        let below = if self.is_filled { self.seen_below } else { self.opened_below };
        let held = Held { below, hours: self.hours.clone(), span: self.span(self.hours.newest) };
        self.disk.flush(table, held)
    }

    /// The span of the window in which an event was received.
    fn span(&self, received_at: Option<Micros>) -> i64 {
        received_at.map_or(i64::MIN, |at| at.0.div_euclid(span_micros(self.window)))
    }
}

/// Others may open the store at once.
impl Drop for SeenIds {
    fn drop(&mut self) {
        self.disk.close();
    }
}
