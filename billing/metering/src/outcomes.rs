//! What ingest made of each tenant's events, by minute: written by ingest nodes, shown to the tenant, forgotten after
//! some days.
//!
//! Unlike usage these are no money: a node that is killed loses its last seconds of them.

mod read;
mod retain;

use chrono::{DateTime, Utc};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::Intake;
use schemas::time::Micros;
use sqlx::PgPool;
use uuid::Uuid;

use crate::lease::timestamp;

pub use read::{Cursor, Interval, OutcomeCount, OutcomePage, OutcomeQuery, PAGE_ROWS_MAX, of_tenant};
pub(crate) use retain::run;
pub use retain::{RetentionConfig, forget};

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

/// Writes what `run` has counted so far. Counts only grow, so the same rows may be written again, and an older
/// statement that comes late changes nothing.
///
/// # Errors
/// If Postgres fails; then it is not known what was written.
pub async fn write(pool: &PgPool, run: Uuid, rows: &[Row]) -> Result<(), sqlx::Error> {
    let numbers = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
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
    .execute(pool)
    .await?;
    Ok(())
}
