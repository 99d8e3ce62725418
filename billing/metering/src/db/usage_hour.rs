//! `usage_hour`: counters by tenant, project, meter, period and hour. Written only in the transaction that moves a
//! cursor.

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use service::store::changed;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::timestamp;

/// A counter, and what is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tenant: i64,
    pub(crate) project: i64,
    pub(crate) period_start: Micros,
    pub(crate) hour: Micros,
    pub(crate) stored: i64,
    pub(crate) duplicate: i64,
    pub(crate) dead: i64,
    pub(crate) xor_hash: i64,
    pub(crate) hashed: i64,
    pub(crate) xor_contents: i64,
}

/// Adds to counters, each of which stands there once. In their order, so that processors that share tenants lock rows
/// in one order.
pub(crate) async fn add(tx: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let numbers = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
    let instants =
        |of: fn(&Row) -> Micros| rows.iter().map(|row| timestamp(of(row))).collect::<Vec<DateTime<Utc>>>();
    let added = sqlx::query(
        "INSERT INTO usage_hour AS u (meter, tenant_id, project_id, period_start, hour, stored, duplicate, dead,
                                      xor_hash, hashed, xor_contents)
         SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[],
                                  $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
         ON CONFLICT (tenant_id, project_id, meter, period_start, hour) DO UPDATE
         SET stored = u.stored + excluded.stored, duplicate = u.duplicate + excluded.duplicate,
             dead = u.dead + excluded.dead, xor_hash = u.xor_hash # excluded.xor_hash,
             hashed = u.hashed + excluded.hashed, xor_contents = u.xor_contents # excluded.xor_contents",
    )
    .bind(METER_EVENTS)
    .bind(numbers(|row| row.tenant))
    .bind(numbers(|row| row.project))
    .bind(instants(|row| row.period_start))
    .bind(instants(|row| row.hour))
    .bind(numbers(|row| row.stored))
    .bind(numbers(|row| row.duplicate))
    .bind(numbers(|row| row.dead))
    .bind(numbers(|row| row.xor_hash))
    .bind(numbers(|row| row.hashed))
    .bind(numbers(|row| row.xor_contents))
    .execute(tx)
    .await?;
    changed(&added, rows.len())
}

/// Sums of a tenant's period, of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeriodSums {
    /// Of the quota: in the hands of ingest nodes, or used.
    pub(crate) granted: i64,
    pub(crate) stored: i64,
    pub(crate) duplicate: i64,
    pub(crate) dead: i64,
    pub(crate) as_of: DateTime<Utc>,
}

service::from_row!(PeriodSums { granted, stored, duplicate, dead, as_of });

/// What a tenant has used in the period that starts at `start`, with what is granted of its quota.
pub(crate) async fn of_period(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    start: Micros,
) -> Result<PeriodSums, sqlx::Error> {
    sqlx::query_as(
        "SELECT coalesce((SELECT granted FROM quota_period WHERE tenant_id = $1 AND period_start = $2), 0) AS granted,
                coalesce(sum(stored), 0)::bigint AS stored, coalesce(sum(duplicate), 0)::bigint AS duplicate,
                coalesce(sum(dead), 0)::bigint AS dead, now() AS as_of
         FROM usage_hour WHERE tenant_id = $1 AND period_start = $2 AND meter = $3",
    )
    .bind(tenant.0)
    .bind(timestamp(start))
    .bind(METER_EVENTS)
    .fetch_one(executor)
    .await
}

/// Which sums are asked for, step by step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps<'a> {
    pub(crate) tenant: TenantId,
    /// The first hour, and the end.
    pub(crate) from: Micros,
    pub(crate) to: Micros,
    /// Of this period alone.
    pub(crate) period: Option<Micros>,
    /// `hour`, `day` or `month`, in `zone`; `None`: all of it together.
    pub(crate) step: Option<&'a str>,
    pub(crate) zone: &'a str,
    /// A step is the period in which an hour was billed.
    pub(crate) by_period: bool,
    pub(crate) by_project: bool,
    pub(crate) by_meter: bool,
    pub(crate) rows_max: i64,
}

/// Sums of one step, and of one project and meter if they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepSums {
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) project: Option<Uuid>,
    pub(crate) project_name: Option<String>,
    pub(crate) meter: Option<String>,
    pub(crate) stored: i64,
    pub(crate) duplicate: i64,
    pub(crate) dead: i64,
}

service::from_row!(StepSums { at, project, project_name, meter, stored, duplicate, dead });

/// Sums in their order: by step, project and meter; of events alone, unless they are by meter. What nothing was counted
/// of has none.
pub(crate) async fn by_step(
    executor: impl PgExecutor<'_>,
    steps: Steps<'_>,
) -> Result<Vec<StepSums>, sqlx::Error> {
    sqlx::query_as(
        "WITH sum AS (
             SELECT CASE WHEN $8 THEN period_start WHEN $5 IS NOT NULL THEN date_trunc($5, hour, $6) END AS at,
                    CASE WHEN $7 THEN project_id END AS project_id, CASE WHEN $9 THEN meter END AS meter,
                    sum(stored)::bigint AS stored, sum(duplicate)::bigint AS duplicate, sum(dead)::bigint AS dead
             FROM usage_hour
             WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 AND ($4::timestamptz IS NULL OR period_start = $4)
               AND ($9 OR meter = $11)
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $10)
         SELECT at, f.public_id AS project, p.name AS project_name, meter, stored, duplicate, dead
         FROM sum LEFT JOIN project p ON (p.tenant_id, p.id) = ($1, sum.project_id)
         LEFT JOIN project_profile f ON (f.tenant_id, f.project_id) = ($1, sum.project_id)
         ORDER BY at, sum.project_id, meter",
    )
    .bind(steps.tenant.0)
    .bind(timestamp(steps.from))
    .bind(timestamp(steps.to))
    .bind(steps.period.map(timestamp))
    .bind(steps.step)
    .bind(steps.zone)
    .bind(steps.by_project)
    .bind(steps.by_period)
    .bind(steps.by_meter)
    .bind(steps.rows_max)
    .bind(METER_EVENTS)
    .fetch_all(executor)
    .await
}
