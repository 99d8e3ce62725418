//! `quota_period`: by tenant and period, how much of the quota is granted. Rows are locked by tenant and period, before
//! any row of `quota_lease`.

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use service::store::changed;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Periods, timestamp};

/// Makes the rows of periods that nobody has used yet, in the order in which they are locked.
pub(crate) async fn make(tx: &mut PgConnection, periods: &Periods) -> Result<(), sqlx::Error> {
    // How many are made is not checked: most are there.
    sqlx::query(
        "INSERT INTO quota_period (tenant_id, period_start)
         SELECT * FROM unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start)
         ORDER BY 1, 2 ON CONFLICT DO NOTHING",
    )
    .bind(&periods.tenants)
    .bind(&periods.starts)
    .execute(tx)
    .await?;
    Ok(())
}

/// A period's quota, its row locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) tenant_id: i64,
    pub(crate) period_start: DateTime<Utc>,
    /// Less than nothing only where the books are wrong.
    pub(crate) granted: i64,
    /// The tenant's own, or its plan's.
    pub(crate) cap: Option<i64>,
}

service::from_row!(Quota { tenant_id, period_start, granted, cap });

/// Locks the rows of periods and returns them with their caps. Unknown tenants are left out.
pub(crate) async fn lock_with_cap(
    tx: &mut PgConnection,
    periods: &Periods,
) -> Result<Vec<Quota>, sqlx::Error> {
    sqlx::query_as(
        "SELECT q.tenant_id, q.period_start, q.granted, coalesce(t.quota, p.quota) AS cap
         FROM unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start)
         JOIN quota_period q USING (tenant_id, period_start)
         JOIN tenant t ON t.id = q.tenant_id JOIN plan p ON p.id = t.plan_id
         ORDER BY q.tenant_id, q.period_start FOR UPDATE OF q",
    )
    .bind(&periods.tenants)
    .bind(&periods.starts)
    .fetch_all(tx)
    .await
}

/// Locks the rows of periods.
pub(crate) async fn lock(tx: &mut PgConnection, periods: &Periods) -> Result<(), sqlx::Error> {
    let locked = sqlx::query(
        "SELECT FROM quota_period q
         JOIN unnest($1::bigint[], $2::timestamptz[]) AS w (tenant_id, period_start) USING (tenant_id, period_start)
         ORDER BY q.tenant_id, q.period_start FOR UPDATE OF q",
    )
    .bind(&periods.tenants)
    .bind(&periods.starts)
    .execute(tx)
    .await?;
    changed(&locked, periods.len())
}

/// Locks the rows of periods of which the node has leases, and returns these leases: the first ones, `most` at most.
pub(crate) async fn lock_of_node(
    tx: &mut PgConnection,
    node: Uuid,
    most: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT l.id FROM quota_period q JOIN quota_lease l USING (tenant_id, period_start)
         WHERE l.node_id = $1 ORDER BY q.tenant_id, q.period_start LIMIT $2 FOR UPDATE OF q",
    )
    .bind(node)
    .bind(most)
    .fetch_all(tx)
    .await
}

/// Adds events to what is granted; their rows must be locked. What is given back for a second time makes it less than
/// nothing: the proof finds that, and no node gets more for it ([`crate::lease`]).
pub(crate) async fn add(tx: &mut PgConnection, periods: &Periods) -> Result<(), sqlx::Error> {
    let added = sqlx::query(
        "UPDATE quota_period q SET granted = q.granted + c.events
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS c (tenant_id, period_start, events)
         WHERE (q.tenant_id, q.period_start) = (c.tenant_id, c.period_start)",
    )
    .bind(&periods.tenants)
    .bind(&periods.starts)
    .bind(&periods.events)
    .execute(tx)
    .await?;
    changed(&added, periods.len())
}

/// The periods of which more or less is granted than was stored and is leased, without a lock.
pub(crate) async fn drifted(executor: impl PgExecutor<'_>) -> Result<Vec<(TenantId, Micros)>, sqlx::Error> {
    let rows: Vec<(i64, DateTime<Utc>)> = sqlx::query_as(
        "SELECT tenant_id, period_start
         FROM (SELECT tenant_id, period_start, granted FROM quota_period
               UNION ALL SELECT tenant_id, period_start, -stored FROM usage_hour WHERE meter = $1
               UNION ALL SELECT tenant_id, period_start, processed - granted FROM quota_lease) AS parts
         GROUP BY tenant_id, period_start HAVING sum(granted) <> 0
         ORDER BY tenant_id, period_start",
    )
    .bind(METER_EVENTS)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|(tenant, start)| (TenantId(tenant), Micros(start.timestamp_micros()))).collect())
}

/// Sets what is granted of a period to what was stored and is leased; its row and its leases must be locked. What was
/// granted before and is now, if that differs.
pub(crate) async fn set_to_books(
    tx: &mut PgConnection,
    tenant: TenantId,
    period_start: Micros,
) -> Result<Option<(i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "WITH books AS (
             SELECT q.granted AS before,
                    (SELECT coalesce(sum(stored), 0) FROM usage_hour
                     WHERE (tenant_id, period_start, meter) = ($1, $2, $3))::bigint
                    + (SELECT coalesce(sum(granted - processed), 0) FROM quota_lease
                       WHERE (tenant_id, period_start) = ($1, $2))::bigint AS after
             FROM quota_period q WHERE (q.tenant_id, q.period_start) = ($1, $2))
         UPDATE quota_period q SET granted = books.after
         FROM books WHERE (q.tenant_id, q.period_start) = ($1, $2) AND books.before <> books.after
         RETURNING books.before, books.after",
    )
    .bind(tenant.0)
    .bind(timestamp(period_start))
    .bind(METER_EVENTS)
    .fetch_optional(tx)
    .await
}
