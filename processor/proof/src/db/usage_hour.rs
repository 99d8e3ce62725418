//! `usage_hour`, which `metering` writes.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use metering::ledger::{Contents, Counts, Sum};
use schemas::id::{ProjectId, TenantId};
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::timestamp;
use crate::books::{ALL_PROJECTS, BilledHour, HourOf};
use crate::runs::{Hashes, Line, Sums};

/// What is said of hours, in their order: what is counted of their events, what was taken out of the rows, and what is
/// sealed, under [`ALL_PROJECTS`]. An hour may have several lines.
pub(crate) fn lines(tx: &mut PgConnection) -> BoxStream<'_, Result<Line, sqlx::Error>> {
    type Row = (DateTime<Utc>, i64, i64, DateTime<Utc>, i64, i64, i64, i64, i64, i64, i64, i64);
    let rows = sqlx::query_as(
        "SELECT hour, tenant_id, project_id, period_start, stored, duplicate, dead, 0::bigint, 0::bigint,
                xor_hash, stored - hashed, xor_contents
         FROM usage_hour WHERE meter = $1
         UNION ALL
         SELECT hour, tenant_id, project_id, period_start, 0, 0, 0, rows, 0, xor_hash, rows - hashed, xor_contents
         FROM erased_hour
         UNION ALL
         SELECT hour, tenant_id, $2, period_start, 0, 0, 0, 0, events, 0, 0, 0 FROM hour_seal
         ORDER BY 1, 2, 3, 4",
    )
    .bind(METER_EVENTS)
    .bind(ALL_PROJECTS.0)
    .fetch(tx);
    let line = |row: Row| {
        let (hour, tenant, project, period, stored, duplicate, dead, erased, sealed, ..) = row;
        let (.., xor_hash, unhashed, xor_contents) = row;
        let (tenant, project) = (TenantId(tenant), ProjectId(project));
        let of = HourOf { hour: Micros(hour.timestamp_micros()), tenant, project };
        let counted = Counts { stored, duplicate, dead };
        let hashes = Hashes { xor_hash, unhashed, xor_contents };
        let sums = Sums { counted, erased, sealed, hashes, ..Sums::default() };
        Line { hour: BilledHour { of, period: Micros(period.timestamp_micros()) }, sums }
    };
    rows.map_ok(line).boxed()
}

/// How many rows are of other meters, which nothing counts yet.
pub(crate) async fn of_other_meters(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM usage_hour WHERE meter <> $1")
        .bind(METER_EVENTS)
        .fetch_one(executor)
        .await
}

/// The first hour of which anything is counted.
pub(crate) async fn oldest(executor: impl PgExecutor<'_>) -> Result<Option<Micros>, sqlx::Error> {
    let hour: Option<i64> =
        sqlx::query_scalar("SELECT (extract(epoch FROM min(hour)) * 1000000)::bigint FROM usage_hour")
            .fetch_one(executor)
            .await?;
    Ok(hour.map(Micros))
}

/// What is counted of a tenant's period.
pub(crate) async fn of_period(
    executor: impl PgExecutor<'_>,
    (tenant, period): (TenantId, Micros),
    meter: &str,
) -> Result<Sum, sqlx::Error> {
    let (stored, duplicate, dead, xor_hash, hashed, xor): (i64, i64, i64, i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
                coalesce(sum(dead), 0)::bigint, coalesce(bit_xor(xor_hash), 0),
                coalesce(sum(hashed), 0)::bigint, coalesce(bit_xor(xor_contents), 0)
         FROM usage_hour WHERE tenant_id = $1 AND period_start = $2 AND meter = $3",
    )
    .bind(tenant.0)
    .bind(timestamp(period))
    .bind(meter)
    .fetch_one(executor)
    .await?;
    let counts = Counts { stored, duplicate, dead };
    Ok(Sum { counts, xor_hash, contents: Contents { hashed, xor } })
}
