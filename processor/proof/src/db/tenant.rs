//! `tenant` and `plan`, which `accounts` writes.

use sqlx::PgExecutor;

/// A tenant whose events are kept for a time.
pub(crate) struct Retention {
    pub(crate) tenant: i64,
    /// Days from their receipt; none, of a tenant that is erased.
    pub(crate) days: i32,
    /// What time Postgres has: microseconds since 1970.
    pub(crate) now: i64,
}

/// All of them.
pub(crate) async fn retentions(executor: impl PgExecutor<'_>) -> Result<Vec<Retention>, sqlx::Error> {
    let rows: Vec<(i64, i32, i64)> = sqlx::query_as(
        "SELECT t.id, CASE t.status WHEN 'erased' THEN 0 ELSE p.retention_days END,
                (extract(epoch FROM now()) * 1000000)::bigint
         FROM tenant t JOIN plan p ON p.id = t.plan_id WHERE p.retention_days IS NOT NULL OR t.status = 'erased'",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|(tenant, days, now)| Retention { tenant, days, now }).collect())
}
