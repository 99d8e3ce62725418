//! Who owns which partition, with epochs; and which log the cursors belong to.

use std::time::Duration;

use eventlog::{Bounds, EventLog, LogError};
use schemas::time::Micros;
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

/// How long a log may take, at start, until it tells its bounds.
const BOUNDS_PATIENCE: Duration = Duration::from_secs(30);
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
    /// Which ids are known behind the cursor: one more whenever some become known other than by the log.
    pub ids_generation: i64,
}

/// The cursors in this database were kept for another log.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Positions, cursors and usage of one log mean nothing in another.
    #[error(
        "this database belongs to the log {expected} with {expected_partitions} partitions, but the log here is {found} with {found_partitions}. Give weir the log that it had (WEIR_DATA_DIR or KAFKA_BROKERS), or an empty database"
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
        "partition {partition} of the log ends at {end}, but events up to {cursor} were processed: the log has lost its end. Restore it, or give weir an empty database and log"
    )]
    LogBehind {
        /// The partition.
        partition: u32,
        /// The log's end.
        end: u64,
        /// The cursor.
        cursor: u64,
    },
    /// Postgres failed.
    #[error("the log's row in Postgres can't be read")]
    Store(#[from] sqlx::Error),
    /// The log can't be asked for its bounds.
    #[error("the log can't be asked for its bounds")]
    Log(#[from] LogError),
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
    sqlx::query("INSERT INTO event_log (identity, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(log.identity())
        .bind(partitions)
        .execute(pool)
        .await?;
    let (expected, expected_partitions): (String, i32) =
        sqlx::query_as("SELECT identity, partitions FROM event_log").fetch_one(pool).await?;
    if expected != log.identity() || expected_partitions != partitions {
        let found = log.identity().to_owned();
        return Err(BindError::OtherLog {
            expected,
            expected_partitions,
            found,
            found_partitions: log.partitions(),
        });
    }
    sqlx::query(
        "INSERT INTO partition_cursor (partition) SELECT generate_series(0, $1 - 1) ON CONFLICT DO NOTHING",
    )
    .bind(partitions)
    .execute(pool)
    .await?;
    Ok(())
}

/// No cursor stands past the end of its partition. Cursors are read first: the ends only grow.
async fn check_ends(pool: &PgPool, log: &dyn EventLog) -> Result<(), BindError> {
    let cursors: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, next_offset FROM partition_cursor ORDER BY partition")
            .fetch_all(pool)
            .await?;
    let bounds = patient_bounds(log).await?;
    for ((_, cursor), (partition, bounds)) in cursors.into_iter().zip((0..).zip(bounds)) {
        let cursor = u64::try_from(cursor).unwrap_or_default();
        if cursor > bounds.end {
            return Err(BindError::LogBehind { partition, end: bounds.end, cursor });
        }
    }
    Ok(())
}

/// The log's bounds. Brokers that have just started do not tell them yet.
async fn patient_bounds(log: &dyn EventLog) -> Result<Vec<Bounds>, LogError> {
    let until = tokio::time::Instant::now() + BOUNDS_PATIENCE;
    loop {
        match log.bounds().await {
            Err(LogError::Unavailable(why)) if tokio::time::Instant::now() < until => {
                tracing::warn!(why, "the log does not tell its bounds yet, asking again");
            }
            told => return told,
        }
        tokio::time::sleep(BOUNDS_PAUSE).await;
    }
}

/// Says that this processor lives, and renews what it owns. What time Postgres has.
///
/// # Errors
/// If Postgres fails.
pub async fn renew(pool: &PgPool, node: Uuid, lease_time: Duration) -> Result<Micros, sqlx::Error> {
    let now: DateTime<Utc> = sqlx::query_scalar(
        "INSERT INTO processor_node (id, lease_until) VALUES ($1, now() + $2 * interval '1 second')
         ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until RETURNING clock_timestamp()",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .fetch_one(pool)
    .await?;
    sqlx::query(
        "UPDATE partition_cursor SET lease_until = now() + $2 * interval '1 second' WHERE owner = $1",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(Micros(now.timestamp_micros()))
}

/// How many partitions this processor should own: an even share among the living, rounded up.
///
/// # Errors
/// If Postgres fails.
pub async fn share(pool: &PgPool) -> Result<usize, sqlx::Error> {
    let share: i64 = sqlx::query_scalar(
        "WITH forgotten AS (DELETE FROM processor_node WHERE lease_until < now() - interval '1 minute')
         SELECT ceil((SELECT count(*) FROM partition_cursor)::numeric
                     / greatest(1, (SELECT count(*) FROM processor_node WHERE lease_until > now())))::bigint",
    )
    .fetch_one(pool)
    .await?;
    Ok(usize::try_from(share).unwrap_or(0))
}

/// Says that no processor lives. Only for a process that knows it: it holds the lock of a local log.
///
/// # Errors
/// If Postgres fails.
pub async fn end_all(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM processor_node").execute(pool).await?;
    sqlx::query("UPDATE partition_cursor SET lease_until = '-infinity'").execute(pool).await?;
    Ok(())
}

/// Takes up to `most` partitions that nobody owns. Inserts of former owners may still be under way
/// ([`crate::repair::end_inserts_for`]).
///
/// # Errors
/// If Postgres fails.
pub async fn acquire(
    pool: &PgPool,
    node: Uuid,
    lease_time: Duration,
    most: usize,
) -> Result<Vec<Owned>, sqlx::Error> {
    let rows: Vec<(i32, i64, i64, i64)> = sqlx::query_as(
        "UPDATE partition_cursor c
         SET owner = $1, epoch = c.epoch + 1, lease_until = now() + $2 * interval '1 second'
         FROM (SELECT partition FROM partition_cursor WHERE lease_until < now()
               ORDER BY partition LIMIT $3 FOR UPDATE SKIP LOCKED) AS free
         WHERE c.partition = free.partition
         RETURNING c.partition, c.next_offset, c.epoch, c.ids_generation",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    if !rows.is_empty() {
        faults::point("processor.lease_taken");
    }
    let owned = rows.into_iter().map(|(partition, next_offset, epoch, ids_generation)| Owned {
        partition: u32::try_from(partition).unwrap_or_default(),
        next_offset: u64::try_from(next_offset).unwrap_or_default(),
        epoch,
        ids_generation,
    });
    Ok(owned.collect())
}

/// Lets others have, or this processor take anew, whatever stands as its own but is not among `kept`: what it gives
/// up, and what it does not know to be its own, because it could not be prepared after it was taken, or because the
/// answer was lost when it was taken or released. Renewed for ever and served by nobody, that would stand still.
///
/// # Errors
/// If Postgres fails: to be tried again.
pub async fn keep_only(pool: &PgPool, node: Uuid, kept: &[u32]) -> Result<(), sqlx::Error> {
    let kept: Vec<i64> = kept.iter().map(|partition| i64::from(*partition)).collect();
    sqlx::query(
        "UPDATE partition_cursor SET owner = NULL, lease_until = '-infinity' WHERE owner = $1 AND partition <> ALL($2)",
    )
    .bind(node)
    .bind(&kept)
    .execute(pool)
    .await?;
    Ok(())
}

/// Leaves the circle of processors: the others' shares grow.
///
/// # Errors
/// If Postgres fails.
pub async fn leave(pool: &PgPool, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE partition_cursor SET owner = NULL, lease_until = '-infinity' WHERE owner = $1")
        .bind(node)
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM processor_node WHERE id = $1").bind(node).execute(pool).await?;
    Ok(())
}
