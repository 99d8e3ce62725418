//! `erased_hour`: what was taken out of the rows, by hour.

use std::collections::BTreeMap;

use metering::ledger::{Contents, Counts, Sum};
use schemas::id::TenantId;
use schemas::time::Micros;
use sqlx::PgExecutor;
use sqlx::types::chrono::{DateTime, Utc};

use super::timestamp;
use crate::books::{BilledHour, Span};

/// Whose rows were taken out, and the last hour that any of them was received in.
pub(crate) async fn tenants(
    executor: impl PgExecutor<'_>,
) -> Result<BTreeMap<TenantId, Micros>, sqlx::Error> {
    let tenants: Vec<(i64, DateTime<Utc>)> =
        sqlx::query_as("SELECT tenant_id, max(hour) FROM erased_hour GROUP BY tenant_id")
            .fetch_all(executor)
            .await?;
    let last = |(tenant, hour): (i64, DateTime<Utc>)| (TenantId(tenant), Micros(hour.timestamp_micros()));
    Ok(tenants.into_iter().map(last).collect())
}

/// How many rows of a tenant's hour and period were taken out.
pub(crate) async fn of(executor: impl PgExecutor<'_>, span: Span) -> Result<u64, sqlx::Error> {
    let rows: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(rows), 0)::bigint FROM erased_hour
         WHERE tenant_id = $1 AND hour = $2 AND period_start = $3",
    )
    .bind(span.tenant.0)
    .bind(timestamp(span.hour))
    .bind(timestamp(span.period))
    .fetch_one(executor)
    .await?;
    Ok(rows.unsigned_abs())
}

/// What retention has taken out of a tenant's period: of that no event's hash is kept.
pub(crate) async fn of_age(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    period: Micros,
) -> Result<Sum, sqlx::Error> {
    let (stored, xor_hash, hashed, xor): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(rows), 0)::bigint, coalesce(bit_xor(xor_hash), 0), coalesce(sum(hashed), 0)::bigint,
                coalesce(bit_xor(xor_contents), 0)
         FROM erased_hour h WHERE tenant_id = $1 AND period_start = $2 AND EXISTS (
             SELECT FROM erasure e WHERE e.round = h.round AND e.before IS NOT NULL)",
    )
    .bind(tenant.0)
    .bind(timestamp(period))
    .fetch_one(executor)
    .await?;
    let counts = Counts { stored, ..Counts::default() };
    Ok(Sum { counts, xor_hash, contents: Contents { hashed, xor } })
}

/// Writes what a round takes out.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    round: i64,
    hours: &BTreeMap<BilledHour, Sum>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO erased_hour (round, tenant_id, project_id, hour, period_start, rows, xor_hash, hashed,
                                  xor_contents)
         SELECT $1, * FROM unnest(
             $2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::bigint[])",
    )
    .bind(round)
    .bind(hours.keys().map(|hour| hour.of.tenant.0).collect::<Vec<i64>>())
    .bind(hours.keys().map(|hour| hour.of.project.0).collect::<Vec<i64>>())
    .bind(hours.keys().map(|hour| timestamp(hour.of.hour)).collect::<Vec<DateTime<Utc>>>())
    .bind(hours.keys().map(|hour| timestamp(hour.period)).collect::<Vec<DateTime<Utc>>>())
    .bind(hours.values().map(|sum| sum.counts.stored).collect::<Vec<i64>>())
    .bind(hours.values().map(|sum| sum.xor_hash).collect::<Vec<i64>>())
    .bind(hours.values().map(|sum| sum.contents.hashed).collect::<Vec<i64>>())
    .bind(hours.values().map(|sum| sum.contents.xor).collect::<Vec<i64>>())
    .execute(executor)
    .await?;
    Ok(())
}
