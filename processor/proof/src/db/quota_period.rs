//! `quota_period` and `quota_lease`, which `metering` writes.

use schemas::id::TenantId;
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use sqlx::PgExecutor;

use crate::books::Quota;

/// How many periods there are.
pub(crate) async fn count(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM quota_period").fetch_one(executor).await
}

/// The periods of which more or less is granted than is settled and leased.
pub(crate) async fn drifted(executor: impl PgExecutor<'_>) -> Result<Vec<Quota>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, (extract(epoch FROM period_start) * 1000000)::bigint, sum(granted)::bigint,
                sum(settled)::bigint, sum(leased)::bigint
         FROM (SELECT tenant_id, period_start, granted, 0 AS settled, 0 AS leased FROM quota_period
               UNION ALL SELECT tenant_id, period_start, 0, stored, 0 FROM usage_hour WHERE meter = $1
               UNION ALL SELECT tenant_id, period_start, 0, 0, granted - processed FROM quota_lease) AS parts
         GROUP BY tenant_id, period_start HAVING sum(granted) <> sum(settled) + sum(leased)
         ORDER BY tenant_id, period_start",
    )
    .bind(METER_EVENTS)
    .fetch_all(executor)
    .await?;
    let quota = |(tenant, period, granted, settled, leased)| Quota {
        tenant: TenantId(tenant),
        period: Micros(period),
        granted,
        settled,
        leased,
    };
    Ok(rows.into_iter().map(quota).collect())
}
