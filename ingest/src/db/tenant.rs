//! `tenant` and `plan`: what a tenant may send. Each row has the number of its last change.

use sqlx::PgConnection;

/// A tenant, with its plan's limits where it has none of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantRow {
    pub(crate) id: i64,
    pub(crate) active: bool,
    pub(crate) quota: Option<i64>,
    pub(crate) rate: Option<i64>,
    pub(crate) time_zone: String,
    /// The later one of its own change and its plan's.
    pub(crate) change: i64,
    pub(crate) client_ip: String,
}

service::from_row!(TenantRow { id, active, quota, rate, time_zone, change, client_ip });

/// A page of tenants, by id from behind `after`, of which they or their plan have changed since the change `since`.
pub(crate) async fn newer(
    tx: &mut PgConnection,
    since: i64,
    after: i64,
    rows_max: i64,
) -> Result<Vec<TenantRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT t.id, t.status = 'active' AS active, coalesce(t.quota, p.quota) AS quota,
                coalesce(t.rate, p.rate) AS rate, t.time_zone, greatest(t.change, p.change) AS change, t.client_ip
         FROM tenant t JOIN plan p ON p.id = t.plan_id
         WHERE (t.change > $1 OR p.change > $1) AND t.id > $2 ORDER BY t.id LIMIT $3",
    )
    .bind(since)
    .bind(after)
    .bind(rows_max)
    .fetch_all(tx)
    .await
}
