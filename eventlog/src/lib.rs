//! A durable, partitioned, append-only log behind one trait, with two backends: Kafka, and segments on the local
//! disk. While Kafka is away, a [`spool`] on the local disk takes its place for appends.
//!
//! # Path of an event
//! Ingest appends records with [`EventLog::append`]; when that returns `Ok`, every record is on disk ([`local`]:
//! written and fsynced; [`kafka`]: acknowledged by all in-sync replicas). The processor opens a [`LogReader`] at
//! the cursor that it keeps in Postgres and reads records in the order of their offsets. The log keeps no
//! cursor of its own: what has been processed is Postgres's to say.
//!
//! # What holds
//! * Offsets of a partition are contiguous and never used twice.
//! * A reader never sees a record that a crash could still take back.
//! * [`AppendError::Unknown`] means what it says: the records may be in the log. The caller answers "unknown", and
//!   a retry of the same events is made harmless by deduplication behind the log.
//! * A position that the log no longer has (or does not have yet) is an error, never a silent jump.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use service::store::{LOG, StoreError};

pub use room::Room;

pub mod local;
pub mod kafka;
pub mod spool;
mod room;
pub mod metrics;

/// One record to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// The partition, below [`EventLog::partitions`].
    pub partition: u32,
    /// Milliseconds since 1970: when the request was received.
    pub timestamp_ms: i64,
    /// A frame; at most [`schemas::limit::FRAME_BYTES_MAX`] bytes.
    pub payload: Bytes,
}

/// One record as read.
#[derive(Debug, Clone)]
pub struct Record {
    /// The partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// As appended; of several frames, the first's.
    pub timestamp_ms: i64,
    /// The frame, or a bundle of several that were appended at the same moment: [`schemas::frame::frames`].
    pub payload: Bytes,
}

/// The offsets that a partition holds: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest record still kept.
    pub start: u64,
    /// One past the newest record that readers may see.
    pub end: u64,
}

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// None of the records is in the log, nor will be. Trying again later may succeed.
    #[error("the log does not take records now: {0}")]
    Refused(String),
    /// None of the records is in the log, because of what they are: trying again would be of no use.
    #[error("the log takes no such record: {0}")]
    Rejected(String),
    /// Some or all of the records may be in the log, now or later.
    #[error("the log did not confirm: {0}")]
    Unknown(String),
}

/// Why the log can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The reader asks for a record that the log has dropped, or that it has never had: the log was trimmed past
    /// the cursor, or is another log than the one that the cursor was kept for. Needs a person.
    #[error(
        "partition {partition} has the offsets [{start}, {end}), not {wanted}: {why}",
        start = bounds.start, end = bounds.end
    )]
    OutOfRange {
        /// The partition.
        partition: u32,
        /// The offset that was asked for.
        wanted: u64,
        /// What the log has.
        bounds: Bounds,
        /// What may have happened, and what to do.
        why: &'static str,
    },
    /// Stored bytes are damaged in a place where no crash could have damaged them. Needs a person.
    #[error("{0}")]
    Damaged(String),
    /// The same in one partition. The others can be read.
    #[error("{why}")]
    PartitionDamaged {
        /// The partition.
        partition: u32,
        /// Where, and what may have happened.
        why: String,
    },
    /// Wrong settings: directory locked by another process, topic with another number of partitions.
    #[error("{0}")]
    Config(String),
    /// The log can't be reached or read now; it may help to try again.
    #[error("the log can't be read: {0}")]
    Unavailable(String),
}

impl LogError {
    /// The partition that alone can't be read, for as long as nobody changes the log or the cursor.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        match self {
            Self::OutOfRange { partition, .. } | Self::PartitionDamaged { partition, .. } => Some(*partition),
            Self::Damaged(_) | Self::Config(_) | Self::Unavailable(_) => None,
        }
    }
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) => Self::retry(LOG, error),
            LogError::OutOfRange { .. }
            | LogError::Damaged(_)
            | LogError::PartitionDamaged { .. }
            | LogError::Config(_) => Self::fatal(LOG, error),
        }
    }
}

/// A durable partitioned log. [`local::LocalLog`] and [`kafka::KafkaLog`] are the two; [`spool::SpooledLog`] is the
/// second with the first before it.
pub trait EventLog: Send + Sync {
    /// How many partitions there are; frozen when the log was made.
    fn partitions(&self) -> u32;

    /// A name of this very log, made when the log was made: cursors kept for another log are not for this one.
    fn identity(&self) -> &str;

    /// Appends all records. `Ok` means that every one of them is durable.
    ///
    /// Answers within `deadline`, whatever the backend does: after that, [`AppendError::Unknown`].
    fn append(&self, records: Vec<Append>, deadline: Duration) -> BoxFuture<'_, Result<(), AppendError>>;

    /// A reader that begins at the given offset of each named partition, and reads no other.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] if an offset is not within the partition's bounds (its end is: nothing to read yet).
    fn reader(&self, from: &[(u32, u64)]) -> BoxFuture<'_, Result<Box<dyn LogReader>, LogError>>;

    /// The bounds of every partition, by its number. The end is taken when the call is made or later.
    fn bounds(&self) -> BoxFuture<'_, Result<Vec<Bounds>, LogError>>;

    /// The bounds of one partition, whatever the others are like.
    fn bounds_of(&self, partition: u32) -> BoxFuture<'_, Result<Bounds, LogError>> {
        Box::pin(async move {
            let bounds = self.bounds().await?;
            let found = usize::try_from(partition).ok().and_then(|number| bounds.get(number));
            found.copied().ok_or_else(|| LogError::Config(format!("there is no partition {partition}")))
        })
    }

    /// Lets the log drop records before `before` of `partition` that are older than its retention. Never drops
    /// others. A backend that retains by itself does nothing.
    fn trim(&self, partition: u32, before: u64) -> BoxFuture<'_, Result<(), LogError>>;

    /// Where a copy may go of records that the log did not confirm, if there is such a place.
    fn spool(&self) -> Option<&Arc<spool::Spool>> {
        None
    }

    /// The folder on this machine that holds the log, if one does.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// Waits until what has been handed over is written or has failed, for `deadline` at most.
    fn close(&self, deadline: Duration) -> BoxFuture<'_, ()>;
}

/// Reads records of some partitions in order.
pub trait LogReader: Send {
    /// The next records: at least one, unless `wait` passes without any; about `bytes_max` payload bytes at most
    /// (one record may pass it). Records of one partition come in the order of their offsets, without gaps.
    ///
    /// Dropping the future loses nothing: the next call returns what this one would have.
    ///
    /// # Errors
    /// [`LogError`]; the reader is of no further use after one, open another.
    fn read(&mut self, bytes_max: usize, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, LogError>>;
}
