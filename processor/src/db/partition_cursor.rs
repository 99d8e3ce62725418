//! `partition_cursor`: where each partition is processed up to, and who owns it.
//!
//! * `next_offset` moves from exactly where a batch began to where it ends, and only under the owner's `epoch`.
//! * `epoch` grows by one whenever somebody takes the partition, so an epoch has one owner.
//! * Nobody takes a partition that is halted.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{number, offset};

/// Makes the rows of partitions `0..partitions` that are not there yet.
pub(crate) async fn make(executor: impl PgExecutor<'_>, partitions: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO partition_cursor (partition) SELECT generate_series(0, $1 - 1) ON CONFLICT DO NOTHING",
    )
    .bind(partitions)
    .execute(executor)
    .await?;
    Ok(())
}

/// Every partition's cursor, in their order.
pub(crate) async fn cursors(executor: impl PgExecutor<'_>) -> Result<Vec<u64>, sqlx::Error> {
    let cursors: Vec<i64> = sqlx::query_scalar("SELECT next_offset FROM partition_cursor ORDER BY partition")
        .fetch_all(executor)
        .await?;
    Ok(cursors.into_iter().map(|cursor| u64::try_from(cursor).unwrap_or_default()).collect())
}

/// Prolongs the lease on all partitions that `node` owns.
pub(crate) async fn renew(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    lease_time: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE partition_cursor SET lease_until = now() + $2 * interval '1 second' WHERE owner = $1",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(())
}

/// A partition that was just taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) epoch: i64,
    pub(crate) ids_generation: i64,
    pub(crate) mark_offset: Option<i64>,
    pub(crate) mark_hash: Option<i64>,
}

service::from_row!(Taken { partition, next_offset, epoch, ids_generation, mark_offset, mark_hash });

/// Takes up to `most` partitions whose lease has run out and that are not halted, each under a new epoch. Two that take
/// at once take different ones.
pub(crate) async fn take(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    lease_time: Duration,
    most: usize,
) -> Result<Vec<Taken>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE partition_cursor c
         SET owner = $1, epoch = c.epoch + 1, lease_until = now() + $2 * interval '1 second'
         FROM (SELECT partition FROM partition_cursor WHERE lease_until < now() AND halted_at IS NULL
               ORDER BY partition LIMIT $3 FOR UPDATE SKIP LOCKED) AS free
         WHERE c.partition = free.partition
         RETURNING c.partition, c.next_offset, c.epoch, c.ids_generation, c.mark_offset, c.mark_hash",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
}

/// Releases every partition that `node` owns and `kept` does not name.
pub(crate) async fn release_others(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    kept: &[u32],
) -> Result<(), sqlx::Error> {
    let kept: Vec<i32> = kept.iter().map(|partition| number(*partition)).collect();
    sqlx::query(
        "UPDATE partition_cursor SET owner = NULL, lease_until = '-infinity' WHERE owner = $1 AND partition <> ALL($2)",
    )
    .bind(node)
    .bind(kept)
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends all leases. That of a halted partition is nobody's, and keeps the version before away from it. The version
/// before ends it with the others, where it starts on this machine's log again. It takes the partition then, and comes
/// to a stop by what halted it, as it did before there were halts: cursors and epochs hold all the same.
pub(crate) async fn end_leases(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE partition_cursor SET lease_until = '-infinity' WHERE halted_at IS NULL")
        .execute(executor)
        .await?;
    Ok(())
}

/// Halts a partition that `node` owns, and releases it. Whether it was the owner still. The lease runs on without an
/// owner, so that processors of the version before, which know no halts, do not take it.
pub(crate) async fn halt(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    partition: u32,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let halted = sqlx::query(
        "UPDATE partition_cursor
         SET halted_reason = $3, halted_at = now(), owner = NULL, lease_until = '9999-12-31 23:59:59+00'
         WHERE partition = $1 AND owner = $2",
    )
    .bind(number(partition))
    .bind(node)
    .bind(reason)
    .execute(executor)
    .await?;
    Ok(halted.rows_affected() > 0)
}

/// Lets a partition be taken again, unless the version before has taken it. Whether it was halted; `None` if there is
/// no such partition.
pub(crate) async fn resume(
    executor: impl PgExecutor<'_>,
    partition: u32,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE partition_cursor c SET halted_reason = NULL, halted_at = NULL,
             lease_until = CASE WHEN before.is_halted AND owner IS NULL THEN '-infinity' ELSE lease_until END
         FROM (SELECT partition, halted_at IS NOT NULL AS is_halted FROM partition_cursor
               WHERE partition = $1 FOR UPDATE) AS before
         WHERE c.partition = before.partition RETURNING before.is_halted",
    )
    .bind(i64::from(partition))
    .fetch_optional(executor)
    .await
}

/// By partition that is halted: why.
pub(crate) async fn halted(executor: impl PgExecutor<'_>) -> Result<BTreeMap<u32, String>, sqlx::Error> {
    let rows: Vec<(i32, String)> = sqlx::query_as(
        "SELECT partition, halted_reason FROM partition_cursor WHERE halted_reason IS NOT NULL",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|(number, why)| (u32::try_from(number).unwrap_or_default(), why)).collect())
}

/// How a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) epoch: i64,
    /// While its lease runs.
    pub(crate) owner: Option<Uuid>,
    pub(crate) halted_reason: Option<String>,
    pub(crate) halted_at: Option<DateTime<Utc>>,
}

service::from_row!(Stand { partition, next_offset, epoch, owner, halted_reason, halted_at });

/// All partitions, in their order.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Stand>, sqlx::Error> {
    sqlx::query_as(
        "SELECT partition, next_offset, epoch, CASE WHEN lease_until > now() THEN owner END AS owner,
                halted_reason, halted_at
         FROM partition_cursor ORDER BY partition",
    )
    .fetch_all(executor)
    .await
}

/// Moves of cursors, as columns. No partition stands there twice.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    partition: Vec<i32>,
    lo: Vec<i64>,
    hi: Vec<i64>,
    epoch: Vec<i64>,
    mark_hash: Vec<Option<i64>>,
}

impl Moves {
    /// A move of the partition's cursor from `lo` to `hi`, under this epoch. `mark_hash` is of the record before `hi`.
    pub(crate) fn push(&mut self, partition: u32, (lo, hi): (u64, u64), epoch: i64, mark_hash: Option<i64>) {
        self.partition.push(number(partition));
        self.lo.push(offset(lo));
        self.hi.push(offset(hi));
        self.epoch.push(epoch);
        self.mark_hash.push(mark_hash);
    }

    fn all(&self, rows: u64) -> bool {
        usize::try_from(rows) == Ok(self.partition.len())
    }
}

/// Whether all cursors stand where the moves end, each under the move's epoch.
pub(crate) async fn stand_at_end(executor: impl PgExecutor<'_>, moves: &Moves) -> Result<bool, sqlx::Error> {
    let moved: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM partition_cursor c
         JOIN unnest($1::int[], $2::bigint[], $3::bigint[]) AS r (partition, hi, epoch)
         ON (c.partition, c.next_offset, c.epoch) = (r.partition, r.hi, r.epoch)",
    )
    .bind(&moves.partition)
    .bind(&moves.hi)
    .bind(&moves.epoch)
    .fetch_one(executor)
    .await?;
    Ok(moves.all(moved.unsigned_abs()))
}

/// Moves the cursors. Whether all of them stood where their move begins, under its epoch: if not, nothing must be
/// committed.
pub(crate) async fn advance(tx: &mut PgConnection, moves: &Moves) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE partition_cursor c
         SET next_offset = r.hi, mark_hash = r.mark, mark_offset = CASE WHEN r.mark IS NOT NULL THEN r.hi - 1 END
         FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
             AS r (partition, lo, hi, epoch, mark)
         WHERE (c.partition, c.next_offset, c.epoch) = (r.partition, r.lo, r.epoch)",
    )
    .bind(&moves.partition)
    .bind(&moves.lo)
    .bind(&moves.hi)
    .bind(&moves.epoch)
    .bind(&moves.mark_hash)
    .execute(tx)
    .await?;
    Ok(moves.all(moved.rows_affected()))
}

/// What a commit must not do, for a mutant: to ask neither where the cursor stands nor whose it is.
pub(crate) async fn advance_unasked(tx: &mut PgConnection, moves: &Moves) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE partition_cursor c SET next_offset = r.hi
         FROM unnest($1::int[], $2::bigint[]) AS r (partition, hi) WHERE c.partition = r.partition",
    )
    .bind(&moves.partition)
    .bind(&moves.hi)
    .execute(tx)
    .await?;
    Ok(())
}

/// By partition: how often ids became known behind its cursor.
pub(crate) async fn ids_generations(
    executor: impl PgExecutor<'_>,
) -> Result<BTreeMap<u32, i64>, sqlx::Error> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, ids_generation FROM partition_cursor").fetch_all(executor).await?;
    let number = |(partition, generation)| (u32::try_from(partition).unwrap_or_default(), generation);
    Ok(rows.into_iter().map(number).collect())
}

/// The offset before which dead events do not count against the budget.
pub(crate) async fn dead_forgiven_below(
    executor: impl PgExecutor<'_>,
    partition: u32,
) -> Result<u64, sqlx::Error> {
    let below: i64 =
        sqlx::query_scalar("SELECT dead_forgiven_below FROM partition_cursor WHERE partition = $1")
            .bind(i64::from(partition))
            .fetch_one(executor)
            .await?;
    Ok(u64::try_from(below).unwrap_or_default())
}

/// Lets dead events before `ends`, one offset for each partition in order, not count against the budget.
pub(crate) async fn forgive_dead(executor: impl PgExecutor<'_>, ends: &[u64]) -> Result<(), sqlx::Error> {
    let ends: Vec<i64> = ends.iter().map(|end| i64::try_from(*end).unwrap_or(i64::MAX)).collect();
    sqlx::query(
        "UPDATE partition_cursor c SET dead_forgiven_below = greatest(c.dead_forgiven_below, e.end_offset)
         FROM unnest($1::bigint[]) WITH ORDINALITY AS e (end_offset, place) WHERE c.partition = e.place - 1",
    )
    .bind(ends)
    .execute(executor)
    .await?;
    Ok(())
}
