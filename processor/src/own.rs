//! Who owns which partition, with epochs; and which log the cursors belong to.

use std::time::Duration;

use eventlog::{Bounds, EventLog, LogError};
use schemas::time::Micros;
use service::store::StoreError;
use sqlx::PgPool;
use uuid::Uuid;

use crate::db::partition_cursor::{self, Taken};
use crate::db::{event_log, processor_node};
use crate::mark::Mark;

/// How long a log may take, at start, until it reports its bounds.
const BOUNDS_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are kept of a reason.
const REASON_BYTES_MAX: usize = 8_192;
/// Between two times of asking.
const BOUNDS_PAUSE: Duration = Duration::from_millis(500);

/// A partition that this processor owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Its number.
    pub partition: u32,
    /// The first offset that is not stored and metered yet.
    pub next_offset: u64,
    /// This ownership's number: a commit that names an older one changes nothing.
    pub epoch: i64,
    /// The last record that was processed; `None`: none was, or by a version before.
    pub mark: Option<Mark>,
    /// Which ids are known behind the cursor: one more whenever some become known other than by the log.
    pub ids_generation: i64,
}

/// The cursors in this database were kept for another log.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Positions, cursors and usage of one log mean nothing in another.
    #[error(
        "this database belongs to the log {expected} with {expected_partitions} partitions, but the log here \
         is {found} with {found_partitions}. Give weir the log that it had (WEIR_DATA_DIR or KAFKA_BROKERS), \
         or an empty database"
    )]
    OtherLog {
        /// As the database says.
        expected: String,
        /// As the database says.
        expected_partitions: i32,
        /// As the log says.
        found: String,
        /// As the log says.
        found_partitions: u32,
    },
    /// The log ends before a cursor: it has lost records that were stored and metered. Anything appended now would
    /// stand at offsets that count as processed, and never be read.
    #[error(
        "partition {partition} of the log ends at {end}, but events up to {cursor} were processed: the log \
         has lost its end. Restore it, or give weir an empty database and log"
    )]
    LogBehind {
        /// The partition.
        partition: u32,
        /// The log's end.
        end: u64,
        /// The cursor.
        cursor: u64,
    },
    /// Postgres or the log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BindError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Binds the database to `log`, or checks that it is bound to it already. Every role does so before it starts.
///
/// # Errors
/// [`BindError`].
pub async fn bind_log(pool: &PgPool, log: &dyn EventLog) -> Result<(), BindError> {
    bind_name(pool, log).await?;
    check_ends(pool, log).await
}

/// The same without a look at where the log ends. For a log that can't be reached: before anything is appended to it,
/// it has to be bound for good.
///
/// # Errors
/// [`BindError`].
pub async fn bind_name(pool: &PgPool, log: &dyn EventLog) -> Result<(), BindError> {
    let partitions = i32::try_from(log.partitions()).unwrap_or(i32::MAX);
    event_log::name(pool, log.identity(), partitions).await?;
    let (expected, expected_partitions) = event_log::named(pool).await?;
    if expected != log.identity() || expected_partitions != partitions {
        let found = log.identity().to_owned();
        return Err(BindError::OtherLog {
            expected,
            expected_partitions,
            found,
            found_partitions: log.partitions(),
        });
    }
    Ok(partition_cursor::make(pool, partitions).await?)
}

/// No cursor stands past the end of its partition. Cursors are read first: the ends only grow.
async fn check_ends(pool: &PgPool, log: &dyn EventLog) -> Result<(), BindError> {
    let cursors = partition_cursor::cursors(pool).await?;
    let bounds = patient_bounds(log).await.map_err(StoreError::from)?;
    for (cursor, (partition, bounds)) in cursors.into_iter().zip((0..).zip(bounds)) {
        if cursor > bounds.end {
            return Err(BindError::LogBehind { partition, end: bounds.end, cursor });
        }
    }
    Ok(())
}

/// The log's bounds. Brokers that have just started do not report them yet.
async fn patient_bounds(log: &dyn EventLog) -> Result<Vec<Bounds>, LogError> {
    let until = tokio::time::Instant::now() + BOUNDS_PATIENCE;
    loop {
        match log.bounds().await {
            Err(LogError::Unavailable(why)) if tokio::time::Instant::now() < until => {
                tracing::warn!(why, "the log does not report its bounds yet, asking again");
            }
            answer => return answer,
        }
        tokio::time::sleep(BOUNDS_PAUSE).await;
    }
}

/// Renews what this processor owns, and says that it lives and has a share of the partitions; without a share it keeps
/// what it owns, and others take the rest. What time Postgres has.
///
/// # Errors
/// If Postgres fails.
pub async fn renew(
    pool: &PgPool,
    node: Uuid,
    lease_time: Duration,
    has_share: bool,
) -> Result<Micros, StoreError> {
    let now = if has_share {
        processor_node::renew(pool, node, lease_time).await?
    } else {
        processor_node::stand_aside(pool, node).await?
    };
    partition_cursor::renew(pool, node, lease_time).await?;
    Ok(Micros(now.timestamp_micros()))
}

/// How many partitions this processor should own: an even share, rounded up, of those that are not halted.
///
/// # Errors
/// If Postgres fails.
pub async fn share(pool: &PgPool) -> Result<usize, StoreError> {
    Ok(usize::try_from(processor_node::share(pool).await?).unwrap_or(0))
}

/// Says that no processor lives. Only for a process that knows it: it holds the lock of a local log.
///
/// # Errors
/// If Postgres fails.
pub async fn end_all(pool: &PgPool) -> Result<(), StoreError> {
    processor_node::delete_all(pool).await?;
    Ok(partition_cursor::end_leases(pool).await?)
}

/// Takes up to `most` partitions that nobody owns and that are not halted. Inserts of former owners may still be under
/// way ([`crate::repair::end_inserts_for`]).
///
/// # Errors
/// If Postgres fails.
pub async fn acquire(
    pool: &PgPool,
    node: Uuid,
    lease_time: Duration,
    most: usize,
) -> Result<Vec<Owned>, StoreError> {
    let taken = partition_cursor::take(pool, node, lease_time, most).await?;
    if !taken.is_empty() {
        faults::point("processor.lease_taken");
    }
    Ok(taken.into_iter().map(Owned::from).collect())
}

impl From<Taken> for Owned {
    fn from(taken: Taken) -> Self {
        Self {
            partition: u32::try_from(taken.partition).unwrap_or_default(),
            next_offset: u64::try_from(taken.next_offset).unwrap_or_default(),
            epoch: taken.epoch,
            mark: taken
                .mark_offset
                .zip(taken.mark_hash)
                .map(|(offset, hash)| Mark { offset: u64::try_from(offset).unwrap_or_default(), hash }),
            ids_generation: taken.ids_generation,
        }
    }
}

/// Releases every partition that `node` owns and `kept` does not name: what the processor gives up, and what it does
/// not know to own, because it could not be prepared after it was taken, or because the answer was lost when it was
/// taken or released. Renewed by a processor that does not serve it, such a partition would stand still.
///
/// # Errors
/// If Postgres fails: to be tried again.
pub async fn keep_only(pool: &PgPool, node: Uuid, kept: &[u32]) -> Result<(), StoreError> {
    Ok(partition_cursor::release_others(pool, node, kept).await?)
}

/// Halts a partition that `node` owns, for `reason`, and releases it: nobody takes it until somebody [resumes] it. If
/// `node` does not own it any more, nothing is changed: the owner meets the reason itself.
///
/// [resumes]: crate::standing::resume
///
/// # Errors
/// If Postgres fails: to be tried again.
pub async fn halt(pool: &PgPool, node: Uuid, partition: u32, reason: &str) -> Result<(), StoreError> {
    let kept = reason.floor_char_boundary(REASON_BYTES_MAX);
    partition_cursor::halt(pool, node, partition, &reason[..kept]).await?;
    Ok(())
}

/// Leaves the circle of processors: the others' shares grow.
///
/// # Errors
/// If Postgres fails.
pub async fn leave(pool: &PgPool, node: Uuid) -> Result<(), StoreError> {
    partition_cursor::release_others(pool, node, &[]).await?;
    Ok(processor_node::delete(pool, node).await?)
}
