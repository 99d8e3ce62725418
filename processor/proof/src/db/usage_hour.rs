//! `usage_hour`, which `metering` writes.

use std::collections::BTreeMap;

use metering::ledger::Counts;
use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::PgExecutor;

use crate::books::HourOf;

/// What is counted of each hour, in whatever period.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<BTreeMap<HourOf, Counts>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, project_id, (extract(epoch FROM hour) * 1000000)::bigint,
                sum(stored)::bigint, sum(duplicate)::bigint, sum(dead)::bigint
         FROM usage_hour GROUP BY 1, 2, 3",
    )
    .fetch_all(executor)
    .await?;
    let counts = |(tenant, project, hour, stored, duplicate, dead)| {
        let hour = HourOf { tenant: TenantId(tenant), project: ProjectId(project), hour: Micros(hour) };
        (hour, Counts { stored, duplicate, dead })
    };
    Ok(rows.into_iter().map(counts).collect())
}

/// The first hour of which anything is counted.
pub(crate) async fn oldest(executor: impl PgExecutor<'_>) -> Result<Option<Micros>, sqlx::Error> {
    let hour: Option<i64> =
        sqlx::query_scalar("SELECT (extract(epoch FROM min(hour)) * 1000000)::bigint FROM usage_hour")
            .fetch_one(executor)
            .await?;
    Ok(hour.map(Micros))
}
