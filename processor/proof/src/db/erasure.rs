//! `erasure`: what was asked for, and how far it has come. `accounts` writes those of subjects, this crate those of
//! retention.

use std::collections::BTreeMap;

use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{as_number, offset};
use crate::round::{Erasure, Round, What};

/// Erasures of a round: a mutation costs much, and little more for many.
const ROUND_ERASURES_MAX: i64 = 500;

struct Row {
    id: i64,
    round: Option<i64>,
    tenant_id: i64,
    project_id: Option<i64>,
    kind: String,
    subject: Option<String>,
    before: Option<DateTime<Utc>>,
    ends: Vec<i64>,
}

service::from_row!(Row { id, round, tenant_id, project_id, kind, subject, before, ends });

fn round_of(rows: Vec<Row>, is_counted: bool) -> Option<Round> {
    let number = rows.iter().filter_map(|row| row.round).max()?;
    let erasure = |row: Row| {
        let what = match (row.before, row.kind.parse(), row.subject) {
            (Some(before), ..) => What::Before(Micros(before.timestamp_micros())),
            (None, Ok(kind), Some(subject)) => What::Subject(kind, subject),
            (None, ..) => return None,
        };
        Some(Erasure {
            id: row.id,
            tenant: TenantId(row.tenant_id),
            project: row.project_id.map(ProjectId),
            what,
            ends: row.ends.into_iter().map(offset).collect(),
        })
    };
    Some(Round { number, is_counted, erasures: rows.into_iter().filter_map(erasure).collect() })
}

/// Asks for what these tenants' plans keep no longer: events received before. For how many that was not asked yet.
pub(crate) async fn ask_retention(
    executor: impl PgExecutor<'_>,
    tenants: &[i64],
    before: Micros,
) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO erasure (tenant_id, kind, before) SELECT unnest($1::bigint[]), 'retention', $2
         ON CONFLICT DO NOTHING",
    )
    .bind(tenants)
    .bind(DateTime::<Utc>::from_timestamp_micros(before.0))
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected())
}

/// How many erasures are not done, and seconds since the oldest was asked for.
pub(crate) async fn backlog(executor: impl PgExecutor<'_>) -> Result<(i64, f64), sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(requested_at)), 0)::float8
         FROM erasure WHERE state <> 'done'",
    )
    .fetch_one(executor)
    .await
}

/// Those for which it is not noted where the log ended after they were asked for.
pub(crate) async fn without_ends(executor: impl PgExecutor<'_>) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM erasure WHERE state = 'requested' AND ends IS NULL")
        .fetch_all(executor)
        .await
}

/// Notes the same: an offset for each partition, in order.
pub(crate) async fn note_ends(
    executor: impl PgExecutor<'_>,
    erasures: &[i64],
    ends: impl Iterator<Item = u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE erasure SET ends = $1 WHERE id = ANY($2) AND ends IS NULL")
        .bind(ends.map(as_number).collect::<Vec<i64>>())
        .bind(erasures)
        .execute(executor)
        .await?;
    Ok(())
}

/// Begins a round of erasures, of retention or of subjects, whose events have all been processed.
pub(crate) async fn gather(tx: &mut PgConnection, retention: bool) -> Result<Option<Round>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
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

/// The round whose rows are counted and not known to be gone.
pub(crate) async fn counted(executor: impl PgExecutor<'_>) -> Result<Option<Round>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, round, tenant_id, project_id, kind, subject, before, ends
         FROM erasure WHERE state = 'deleting' ORDER BY id",
    )
    .fetch_all(executor)
    .await?;
    Ok(round_of(rows, true))
}

/// The newest round of erasures that is counted; 0 if there is none.
pub(crate) async fn newest_counted(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(round), 0) FROM erasure WHERE state <> 'requested'")
        .fetch_one(executor)
        .await
}

/// Notes that the round is to be deleted, with the events of each of its erasures. Whether it was noted of all: not if
/// there is a newer round.
pub(crate) async fn note_counted(
    executor: impl PgExecutor<'_>,
    round: &Round,
    events: &BTreeMap<i64, i64>,
) -> Result<bool, sqlx::Error> {
    let ids: Vec<i64> = round.erasures.iter().map(|erasure| erasure.id).collect();
    let events = |id: &i64| events.get(id).copied().unwrap_or(0);
    let noted = sqlx::query(
        "UPDATE erasure e SET state = 'deleting', events = r.events, dead_letters = (
             SELECT count(*) FROM dead_letter d
             WHERE (d.tenant_id IS NULL OR d.tenant_id = e.tenant_id)
                   AND (d.project_id IS NULL OR e.project_id IS NULL OR d.project_id = e.project_id)
                   AND position(convert_to(e.subject, 'UTF8') IN d.raw) > 0)
         FROM unnest($2::bigint[], $3::bigint[]) AS r (id, events)
         WHERE e.id = r.id AND e.round = $1 AND e.state = 'requested' AND $1 = (SELECT max(round) FROM erasure)",
    )
    .bind(round.number)
    .bind(&ids)
    .bind(ids.iter().map(events).collect::<Vec<i64>>())
    .execute(executor)
    .await?;
    Ok(usize::try_from(noted.rows_affected()) == Ok(ids.len()))
}

/// The round's rows are gone: so is what it was about, and its hash stays. Of retention the newest round of a tenant is
/// kept.
pub(crate) async fn end(tx: &mut PgConnection, round: i64) -> Result<(), sqlx::Error> {
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
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets the hashes of subjects of whom the log, which begins at `starts`, has nothing left that the erasure covers,
/// nor have dead letters that may still be replayed. How many.
pub(crate) async fn forget(
    executor: impl PgExecutor<'_>,
    starts: impl Iterator<Item = u64>,
) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query(
        "UPDATE erasure e SET subject_hash = NULL, salt = NULL
         WHERE state = 'done' AND subject_hash IS NOT NULL AND NOT EXISTS (
             SELECT FROM unnest(e.ends, $1::bigint[]) AS l (end_offset, start_offset)
             WHERE coalesce(l.start_offset, 0) < l.end_offset)
           AND NOT EXISTS (
             SELECT FROM dead_letter d
             WHERE d.state IN ('dead', 'asked') AND d.position < e.ends[d.partition + 1]::numeric * 65536)",
    )
    .bind(starts.map(as_number).collect::<Vec<i64>>())
    .execute(executor)
    .await?;
    Ok(forgotten.rows_affected())
}
