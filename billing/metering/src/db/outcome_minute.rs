//! `outcome_minute`: what each run of an ingest process has counted, by minute, project, key and outcome.

use chrono::{DateTime, Utc};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::Intake;
use schemas::time::Micros;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::timestamp;

/// What one run of an ingest process has counted so far of one outcome in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Who is shown it.
    pub tenant: TenantId,
    /// Start of the UTC minute in which the requests were received.
    pub minute: Micros,
    /// The key's stream.
    pub project: ProjectId,
    /// The key; `None`: one of the project's, when a node had no room for each.
    pub key: Option<KeyId>,
    /// What became of them.
    pub outcome: Intake,
    /// Events.
    pub events: i64,
    /// Requests that were refused before their events were read; these events are nowhere counted.
    pub requests: i64,
}

/// Writes counts of a run. They only grow: a statement that comes late, or again, changes nothing.
pub(crate) async fn write(executor: impl PgExecutor<'_>, run: Uuid, rows: &[Row]) -> Result<(), sqlx::Error> {
    let numbers = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
    // How many rows are changed is not checked: those that were written before are not.
    sqlx::query(
        "INSERT INTO outcome_minute AS o (tenant_id, minute, project_id, key_id, outcome, events, requests, node_run)
         SELECT *, $8 FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::text[],
                                  $6::bigint[], $7::bigint[])
         ON CONFLICT (tenant_id, minute, project_id, key_id, outcome, node_run) DO UPDATE
         SET events = greatest(o.events, excluded.events), requests = greatest(o.requests, excluded.requests)
         WHERE o.events < excluded.events OR o.requests < excluded.requests",
    )
    .bind(numbers(|row| row.tenant.0))
    .bind(rows.iter().map(|row| timestamp(row.minute)).collect::<Vec<DateTime<Utc>>>())
    .bind(numbers(|row| row.project.0))
    .bind(rows.iter().map(|row| row.key.map(KeyId::number)).collect::<Vec<Option<i64>>>())
    .bind(rows.iter().map(|row| row.outcome.as_str()).collect::<Vec<&str>>())
    .bind(numbers(|row| row.events))
    .bind(numbers(|row| row.requests))
    .bind(run)
    .execute(executor)
    .await?;
    Ok(())
}

/// Which sums are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) tenant: TenantId,
    /// The first minute, and the end.
    pub(crate) from: Micros,
    pub(crate) to: Micros,
    /// Microseconds of a step, and an instant at which one starts.
    pub(crate) step: i64,
    pub(crate) origin: Micros,
    pub(crate) project: Option<ProjectId>,
    pub(crate) key: Option<KeyId>,
    /// Start of the step, project, key or -1, and outcome of the last sum that is known.
    pub(crate) after: Option<(Micros, i64, i64, &'a str)>,
    pub(crate) rows_max: i64,
}

/// Sums of one step, project, key and outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) at: DateTime<Utc>,
    pub(crate) project_id: i64,
    pub(crate) public_id: Option<Uuid>,
    /// Empty if the project is not known.
    pub(crate) project: String,
    /// -1: none.
    pub(crate) key_id: i64,
    pub(crate) outcome: String,
    pub(crate) events: i64,
    pub(crate) requests: i64,
}

service::from_row!(Sum { at, project_id, public_id, project, key_id, outcome, events, requests });

/// Sums in their order: by step, project, key and outcome.
pub(crate) async fn sums(executor: impl PgExecutor<'_>, asked: Asked<'_>) -> Result<Vec<Sum>, sqlx::Error> {
    let after = asked.after;
    sqlx::query_as(
        "WITH step AS (
             SELECT date_bin($4 * interval '1 microsecond', minute, $5) AS at, project_id,
                    coalesce(key_id, -1) AS key_id, outcome, events, requests
             FROM outcome_minute
             WHERE tenant_id = $1 AND minute >= greatest($2, $8) AND minute < $3
               AND ($6::bigint IS NULL OR project_id = $6) AND ($7::bigint IS NULL OR key_id = $7))
         SELECT at, s.project_id, f.public_id, coalesce(p.name, '') AS project, s.key_id, outcome,
                sum(events)::bigint AS events, sum(requests)::bigint AS requests
         FROM step s LEFT JOIN project p ON (p.tenant_id, p.id) = ($1, s.project_id)
         LEFT JOIN project_profile f ON (f.tenant_id, f.project_id) = ($1, s.project_id)
         WHERE $8 IS NULL
            OR (at, s.project_id, s.key_id, outcome COLLATE \"C\") > ($8, $9, $10, $11::text COLLATE \"C\")
         GROUP BY at, s.project_id, f.public_id, p.name, s.key_id, outcome
         ORDER BY at, s.project_id, s.key_id, outcome COLLATE \"C\" LIMIT $12",
    )
    .bind(asked.tenant.0)
    .bind(timestamp(asked.from))
    .bind(timestamp(asked.to))
    .bind(asked.step)
    .bind(timestamp(asked.origin))
    .bind(asked.project.map(|project| project.0))
    .bind(asked.key.map(KeyId::number))
    .bind(after.map(|(at, ..)| timestamp(at)))
    .bind(after.map(|(_, project, ..)| project))
    .bind(after.map(|(_, _, key, _)| key))
    .bind(after.map(|(.., outcome)| outcome))
    .bind(asked.rows_max)
    .fetch_all(executor)
    .await
}

/// Postgres's time.
pub(crate) async fn now(executor: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar("SELECT now()").fetch_one(executor).await
}

/// Deletes up to `rows_max` of the oldest rows that are older than so many hours, except those that another process
/// deletes at this moment. How many that were.
pub(crate) async fn delete_old(
    executor: impl PgExecutor<'_>,
    hours: i64,
    rows_max: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM outcome_minute WHERE ctid IN (
             SELECT ctid FROM outcome_minute WHERE minute < now() - $1 * interval '1 hour'
             ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(hours)
    .bind(rows_max)
    .execute(executor)
    .await?;
    Ok(deleted.rows_affected())
}
