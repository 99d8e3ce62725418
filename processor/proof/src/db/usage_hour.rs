//! `usage_hour`, which `metering` writes.

use std::collections::BTreeMap;

use metering::ledger::Counts;
use schemas::id::{ProjectId, TenantId};
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use sqlx::PgExecutor;

use crate::books::{BilledHour, HourOf};

/// What is counted of the events of each hour and period.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<BTreeMap<BilledHour, Counts>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, project_id, (extract(epoch FROM hour) * 1000000)::bigint,
                (extract(epoch FROM period_start) * 1000000)::bigint, stored, duplicate, dead
         FROM usage_hour WHERE meter = $1",
    )
    .bind(METER_EVENTS)
    .fetch_all(executor)
    .await?;
    let counts = |(tenant, project, hour, period, stored, duplicate, dead)| {
        let of = HourOf { tenant: TenantId(tenant), project: ProjectId(project), hour: Micros(hour) };
        (BilledHour { of, period: Micros(period) }, Counts { stored, duplicate, dead })
    };
    Ok(rows.into_iter().map(counts).collect())
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
