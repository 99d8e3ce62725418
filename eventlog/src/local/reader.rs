//! Reading records of some partitions.
//!
//! Files are read on tokio's blocking threads, a few megabytes a turn, so that a slow disk holds up no worker.
//! A turn that nobody waits for any more is kept, and its records are what the next call returns.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};

use super::disk::read_up_to;
use super::partition::{Partition, Place, Segment};
use super::record::{CHUNK_BYTES, Decoded, decode};
use super::scan::{Damage, behind};
use crate::{Bounds, LogError, LogReader, Record};

/// Bytes that are read at least, when the file has them.
const READ_BYTES_MIN: usize = 64 << 10;

/// Why a position is refused.
pub(super) const BELOW_START: &str = "the log was trimmed past it, or the cursor was kept for another log: \
     restore the log or move the cursor, knowing that the events between are lost";
pub(super) const BEYOND_END: &str = "the cursor is ahead of the log: the log is an older copy, or another one; \
     restore the right one before anything is appended";

/// Reads a local log.
pub(super) struct LocalReader {
    state: State,
    changed: Arc<Notify>,
}

enum State {
    Idle(Cursors),
    Reading(JoinHandle<Turn>),
    Lost,
}

type Turn = (Cursors, Result<Vec<Record>, LogError>);

/// A position in each partition.
struct Cursors {
    cursors: Vec<Cursor>,
    /// Whose turn it is to be read first.
    first: usize,
}

struct Cursor {
    partition: Arc<Partition>,
    next: u64,
    open: Option<Open>,
}

/// The segment that a cursor is in.
struct Open {
    segment: Arc<Segment>,
    file: File,
    /// A record at or before the cursor, and where it begins.
    offset: u64,
    position: u64,
}

impl LocalReader {
    /// A reader at these positions, which the caller has checked.
    pub(super) fn new(from: Vec<(Arc<Partition>, u64)>) -> Self {
        let changed = Arc::new(Notify::new());
        let cursor = |(partition, next): (Arc<Partition>, u64)| {
            partition.subscribe(&changed);
            Cursor { partition, next, open: None }
        };
        let cursors = from.into_iter().map(cursor).collect();
        Self { state: State::Idle(Cursors { cursors, first: 0 }), changed }
    }

    async fn ready(&self) {
        while matches!(&self.state, State::Idle(cursors) if !cursors.ready()) {
            self.changed.notified().await;
        }
    }
}

impl LogReader for LocalReader {
    fn read(&mut self, bytes_max: usize, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, LogError>> {
        async move {
            if tokio::time::timeout(wait, self.ready()).await.is_err() {
                return Ok(Vec::new());
            }
            if let State::Idle(_) = &self.state
                && let State::Idle(cursors) = std::mem::replace(&mut self.state, State::Lost)
            {
                self.state = State::Reading(spawn_blocking(move || cursors.turn(bytes_max)));
            }
            let State::Reading(turn) = &mut self.state else {
                return Err(LogError::Unavailable("this reader has failed before: open another".to_owned()));
            };
            let turn = turn.await;
            self.state = State::Lost;
            let (cursors, records) = turn.map_err(|error| LogError::Unavailable(error.to_string()))?;
            let records = records?;
            self.state = State::Idle(cursors);
            Ok(records)
        }
        .boxed()
    }
}

impl Cursors {
    fn ready(&self) -> bool {
        self.cursors.iter().any(|cursor| !matches!(cursor.partition.place(cursor.next), Place::Ahead))
    }

    /// Reads from each partition in turn, a chunk at a time, until there is enough or nothing more.
    fn turn(mut self, bytes_max: usize) -> Turn {
        let mut records = Vec::new();
        let outcome = self.fill(bytes_max, &mut records);
        (self, outcome.map(|()| records))
    }

    fn fill(&mut self, bytes_max: usize, records: &mut Vec<Record>) -> Result<(), LogError> {
        let mut bytes = 0;
        let mut ahead = 0;
        while ahead < self.cursors.len() && (bytes < bytes_max || records.is_empty()) {
            let before = records.len();
            let cursor = &mut self.cursors[self.first];
            match cursor.read(bytes_max.saturating_sub(bytes), records) {
                Ok(added) => bytes += added,
                // First what is in order; the next turn comes upon the error again.
                Err(_) if !records.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            }
            ahead = if records.len() == before { ahead + 1 } else { 0 };
            self.first = (self.first + 1) % self.cursors.len();
        }
        Ok(())
    }
}

impl Cursor {
    /// Reads at most a chunk. Adds nothing if there is nothing, or if the next record has more than `bytes_max`
    /// and there are others already. Returns the payload bytes added.
    fn read(&mut self, bytes_max: usize, records: &mut Vec<Record>) -> Result<usize, LogError> {
        let (segment, until) = match self.partition.place(self.next) {
            Place::Ahead => return Ok(0),
            Place::Gone(bounds) => return Err(self.gone(bounds)),
            Place::In(segment, until) => (segment, until),
        };
        let mut open = match self.open.take() {
            Some(open) if open.segment.first == segment.first => open,
            Some(_) | None => self.open_segment(segment)?,
        };
        let added = self.read_segment(&mut open, until, bytes_max, records)?;
        self.open = Some(open);
        Ok(added)
    }

    fn open_segment(&self, segment: Arc<Segment>) -> Result<Open, LogError> {
        let (offset, position) = segment.near(self.next);
        match File::open(&segment.path) {
            Ok(file) => Ok(Open { segment, file, offset, position }),
            Err(error) => match self.partition.place(self.next) {
                // Trimmed between our look and the call.
                Place::Gone(bounds) => Err(self.gone(bounds)),
                Place::In(..) | Place::Ahead => Err(self.unreadable(&segment, &error)),
            },
        }
    }

    fn read_segment(
        &mut self,
        open: &mut Open,
        until: u64,
        bytes_max: usize,
        records: &mut Vec<Record>,
    ) -> Result<usize, LogError> {
        let before = records.len();
        let mut added = 0;
        // Until the wanted record is found, whole chunks are skipped.
        let mut want =
            if open.offset < self.next { CHUNK_BYTES } else { bytes_max.clamp(READ_BYTES_MIN, CHUNK_BYTES) };
        while records.len() == before {
            let chunk = self.chunk(open, want)?;
            let mut at = 0;
            while open.offset < until {
                let head = match decode(&chunk[at..], open.segment.seed) {
                    Decoded::Whole(head) if head.offset == open.offset => head,
                    Decoded::Whole(_) => return Err(self.damaged(open, until, "it is another record")),
                    Decoded::Bad(why) => return Err(self.damaged(open, until, why)),
                    Decoded::Short(_) if chunk.len() < want => {
                        return Err(self.damaged(open, until, "it is cut off by the end of the file"));
                    }
                    Decoded::Short(_) => break,
                };
                let end = at + head.total_len();
                if head.offset >= self.next {
                    if added + head.payload_len > bytes_max && !records.is_empty() {
                        return Ok(added);
                    }
                    let (partition, payload) =
                        (self.partition.number, chunk.slice(end - head.payload_len..end));
                    records.push(Record {
                        partition,
                        offset: head.offset,
                        timestamp_ms: head.timestamp_ms,
                        payload,
                    });
                    added += head.payload_len;
                    self.next = head.offset + 1;
                }
                at = end;
                open.offset += 1;
                open.position += head.total_len() as u64;
            }
            // The first record may be longer than what was read; none is longer than this.
            want = CHUNK_BYTES;
        }
        Ok(added)
    }

    fn chunk(&self, open: &Open, want: usize) -> Result<Bytes, LogError> {
        let read = || {
            let left = open.file.metadata()?.len().saturating_sub(open.position);
            let mut chunk = BytesMut::zeroed(usize::try_from(left).unwrap_or(want).min(want));
            let len = read_up_to(&open.file, &mut chunk, open.position)?;
            chunk.truncate(len);
            Ok(chunk.freeze())
        };
        read().map_err(|error: io::Error| self.unreadable(&open.segment, &error))
    }

    fn gone(&self, bounds: Bounds) -> LogError {
        LogError::OutOfRange { partition: self.partition.number, wanted: self.next, bounds, why: BELOW_START }
    }

    fn unreadable(&self, segment: &Segment, error: &io::Error) -> LogError {
        LogError::Unavailable(format!("{}: {error}", segment.path.display()))
    }

    fn damaged(&self, open: &Open, until: u64, why: &str) -> LogError {
        let behind = behind(&open.file, open.segment.seed, open.position, open.offset).unwrap_or_default();
        let damage = Damage {
            partition: self.partition.number,
            segment: &open.segment.path,
            byte: open.position,
            from: open.offset,
            to: Some(behind.first.unwrap_or(until).min(until)),
            why: why.to_owned(),
        };
        tracing::error!(
            partition = damage.partition,
            byte = damage.byte,
            from = damage.from,
            why,
            "the log is damaged"
        );
        damage.into()
    }
}
