//! What Postgres knows of erasures.
//!
//! At most one round is between its beginning and its end, and only the newest can be counted: whoever begins one under a
//! new number takes over all that waits, and a slower eraser that was taken for dead is refused when it wants to count.

use eventlog::EventLog;
use schemas::lock;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};

use super::count::Taken;
use crate::db::dead_letter;
use crate::error::EraseError;
use crate::rollup;
use crate::round::{ErasureRow, Round, counted, round_of, timestamp};
use crate::turn::connection;

/// Erasures of a round: a mutation costs much, and little more for many.
const ROUND_ERASURES_MAX: i64 = 500;

/// How many erasures are not done, and seconds since the oldest was asked for.
pub(super) async fn backlog(pool: &PgPool) -> Result<(i64, f64), sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(requested_at)), 0)::float8
         FROM erasure WHERE state <> 'done'",
    )
    .fetch_one(pool)
    .await
}

/// Notes where the log ends, for erasures that were asked for before: all that was accepted until then stands before, and
/// so does every copy of a dead letter that was made without knowing of them. While a letter is claimed there may be a
/// copy on its way ([`processor::dead::replay`]): they wait.
///
/// # Errors
/// [`EraseError`].
pub(super) async fn note_ends(pool: &PgPool, log: &dyn EventLog) -> Result<(), EraseError> {
    let asked: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM erasure WHERE state = 'requested' AND ends IS NULL")
            .fetch_all(pool)
            .await?;
    if asked.is_empty() {
        return Ok(());
    }
    if dead_letter::is_any_claimed(pool).await? {
        return Ok(());
    }
    let bounds = log.bounds().await?;
    let ends: Vec<i64> = bounds.iter().map(|bounds| i64::try_from(bounds.end).unwrap_or(i64::MAX)).collect();
    sqlx::query("UPDATE erasure SET ends = $1 WHERE id = ANY($2) AND ends IS NULL")
        .bind(&ends)
        .bind(&asked)
        .execute(pool)
        .await?;
    Ok(())
}

/// The round that is to be carried on, or a new one of erasures whose events have all been processed.
///
/// # Errors
/// If Postgres fails.
pub(super) async fn begin(pool: &PgPool) -> Result<Option<Round>, sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = connection.begin().await?;
    // Whoever brings back events of the log, and looked for erasures before these were asked for, has ended.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock::ERASURE).execute(&mut *tx).await?;
    let round = match counted(&mut tx).await? {
        Some(round) => Some(round),
        None => match gather(&mut tx, false).await? {
            Some(round) => Some(round),
            None => gather(&mut tx, true).await?,
        },
    };
    tx.commit().await?;
    Ok(round)
}

async fn gather(tx: &mut PgConnection, retention: bool) -> Result<Option<Round>, sqlx::Error> {
    let rows: Vec<ErasureRow> = sqlx::query_as(
        "WITH ready AS (
             SELECT id FROM erasure e
             WHERE state = 'requested' AND (kind = 'retention') = $1 AND ends IS NOT NULL AND NOT EXISTS (
                 SELECT FROM unnest(e.ends) WITH ORDINALITY AS l (end_offset, place)
                 LEFT JOIN partition_cursor c ON c.partition = l.place - 1
                 WHERE coalesce(c.next_offset, 0) < l.end_offset)
             ORDER BY id LIMIT $2),
         next AS (SELECT nextval('erasure_round') AS round WHERE EXISTS (SELECT FROM ready))
         UPDATE erasure e SET round = next.round FROM ready, next WHERE e.id = ready.id
         RETURNING e.id, e.round, e.tenant_id, e.project_id, e.kind, e.subject, e.before, e.ends",
    )
    .bind(retention)
    .bind(ROUND_ERASURES_MAX)
    .fetch_all(tx)
    .await?;
    Ok(round_of(rows, false))
}

/// Writes what the round takes out beside the ledgers, and that it is to be deleted. Whether it was: not if another eraser
/// has begun a newer round.
///
/// # Errors
/// If Postgres fails and whether it was written is not known: begin again.
pub(super) async fn write(pool: &PgPool, round: &Round, taken: &Taken) -> Result<bool, sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock::ERASURE).execute(&mut *tx).await?;
    let ids: Vec<i64> = round.erasures.iter().map(|erasure| erasure.id).collect();
    let events = |id: &i64| taken.events.get(id).copied().unwrap_or(0);
    let moved = sqlx::query(
        "UPDATE erasure e SET state = 'deleting', events = r.events, dead_letters = (
             SELECT count(*) FROM dead_letter d
             WHERE d.tenant_id = e.tenant_id AND (e.project_id IS NULL OR d.project_id = e.project_id)
                   AND position(convert_to(e.subject, 'UTF8') IN d.raw) > 0)
         FROM unnest($2::bigint[], $3::bigint[]) AS r (id, events)
         WHERE e.id = r.id AND e.round = $1 AND e.state = 'requested' AND $1 = (SELECT max(round) FROM erasure)",
    )
    .bind(round.number)
    .bind(&ids)
    .bind(ids.iter().map(events).collect::<Vec<i64>>())
    .execute(&mut *tx)
    .await?;
    if usize::try_from(moved.rows_affected()) != Ok(ids.len()) {
        tx.rollback().await?;
        return Ok(false);
    }
    write_ranges(&mut tx, round.number, taken).await?;
    write_hours(&mut tx, round.number, taken).await?;
    tx.commit().await?;
    Ok(true)
}

async fn write_ranges(tx: &mut PgConnection, round: i64, taken: &Taken) -> Result<(), sqlx::Error> {
    let partitions = taken.ranges.keys().map(|key| i32::try_from(key.0).unwrap_or(i32::MAX));
    let starts = taken.ranges.keys().map(|key| i64::try_from(key.1).unwrap_or(i64::MAX));
    sqlx::query(
        "INSERT INTO erased_range (round, partition, lo, rows, xor_hash)
         SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::bigint[])",
    )
    .bind(round)
    .bind(partitions.collect::<Vec<i32>>())
    .bind(starts.collect::<Vec<i64>>())
    .bind(taken.ranges.values().map(|sum| sum.counts.stored).collect::<Vec<i64>>())
    .bind(taken.ranges.values().map(|sum| sum.xor_hash).collect::<Vec<i64>>())
    .execute(tx)
    .await?;
    Ok(())
}

async fn write_hours(tx: &mut PgConnection, round: i64, taken: &Taken) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO erased_hour (round, tenant_id, project_id, hour, rows)
         SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[])",
    )
    .bind(round)
    .bind(taken.hours.keys().map(|key| key.0.0).collect::<Vec<i64>>())
    .bind(taken.hours.keys().map(|key| key.1.0).collect::<Vec<i64>>())
    .bind(taken.hours.keys().map(|key| timestamp(key.2)).collect::<Vec<DateTime<Utc>>>())
    .bind(taken.hours.values().copied().collect::<Vec<i64>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// The round's rows are gone: so is what it was about, but for its hash. Of retention the newest round of a tenant is kept.
///
/// # Errors
/// If Postgres fails.
pub(super) async fn end(pool: &PgPool, round: i64) -> Result<(), sqlx::Error> {
    let mut connection = connection(pool).await?;
    let mut tx = connection.begin().await?;
    sqlx::query(
        "UPDATE erasure SET state = 'done', done_at = now(), subject = NULL WHERE round = $1 AND state = 'deleting'",
    )
    .bind(round)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM erasure o USING erasure n
         WHERE n.round = $1 AND n.kind = 'retention' AND o.kind = 'retention' AND o.state = 'done'
               AND o.tenant_id = n.tenant_id AND o.id < n.id",
    )
    .bind(round)
    .execute(&mut *tx)
    .await?;
    rollup::follow(&mut tx, round).await?;
    tx.commit().await
}

/// Forgets the hashes of subjects of whom the log has nothing left that the erasure covers, nor have dead letters that may
/// still be replayed.
///
/// # Errors
/// [`EraseError`].
pub(super) async fn forget(pool: &PgPool, log: &dyn EventLog) -> Result<u64, EraseError> {
    let bounds = log.bounds().await?;
    let starts: Vec<i64> =
        bounds.iter().map(|bounds| i64::try_from(bounds.start).unwrap_or(i64::MAX)).collect();
    let forgotten = sqlx::query(
        "UPDATE erasure e SET subject_hash = NULL, salt = NULL
         WHERE state = 'done' AND subject_hash IS NOT NULL AND NOT EXISTS (
             SELECT FROM unnest(e.ends, $1::bigint[]) AS l (end_offset, start_offset)
             WHERE coalesce(l.start_offset, 0) < l.end_offset)
           AND NOT EXISTS (
             SELECT FROM dead_letter d WHERE d.state IN ('dead', 'asked') AND d.position < e.ends[d.partition + 1]::numeric * 65536)",
    )
    .bind(&starts)
    .execute(pool)
    .await?;
    Ok(forgotten.rows_affected())
}
