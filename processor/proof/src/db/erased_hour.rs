//! `erased_hour`: what was taken out of the rows, by hour.

use std::collections::BTreeMap;

use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::PgExecutor;
use sqlx::types::chrono::{DateTime, Utc};

use super::timestamp;
use crate::books::{BilledHour, HourOf};

/// Rows of each hour.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<BTreeMap<BilledHour, i64>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, project_id, (extract(epoch FROM hour) * 1000000)::bigint,
                (extract(epoch FROM period_start) * 1000000)::bigint, sum(rows)::bigint
         FROM erased_hour GROUP BY 1, 2, 3, 4",
    )
    .fetch_all(executor)
    .await?;
    let hour = |(tenant, project, hour, period, rows)| {
        let of = HourOf { tenant: TenantId(tenant), project: ProjectId(project), hour: Micros(hour) };
        (BilledHour { of, period: Micros(period) }, rows)
    };
    Ok(rows.into_iter().map(hour).collect())
}

/// Writes what a round takes out.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    round: i64,
    hours: &BTreeMap<BilledHour, i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO erased_hour (round, tenant_id, project_id, hour, period_start, rows)
         SELECT $1, * FROM unnest(
             $2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[])",
    )
    .bind(round)
    .bind(hours.keys().map(|hour| hour.of.tenant.0).collect::<Vec<i64>>())
    .bind(hours.keys().map(|hour| hour.of.project.0).collect::<Vec<i64>>())
    .bind(hours.keys().map(|hour| timestamp(hour.of.hour)).collect::<Vec<DateTime<Utc>>>())
    .bind(hours.keys().map(|hour| timestamp(hour.period)).collect::<Vec<DateTime<Utc>>>())
    .bind(hours.values().copied().collect::<Vec<i64>>())
    .execute(executor)
    .await?;
    Ok(())
}
