//! `tenant` and `plan`, which the crate `accounts` writes: what a tenant may send.

use schemas::id::TenantId;
use sqlx::PgExecutor;

/// The tenant's time zone, and its quota or its plan's; `None`: there is no such tenant.
pub(crate) async fn terms(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
) -> Result<Option<(String, Option<i64>)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT t.time_zone, coalesce(t.quota, p.quota) FROM tenant t JOIN plan p ON p.id = t.plan_id WHERE t.id = $1",
    )
    .bind(tenant.0)
    .fetch_optional(executor)
    .await
}
