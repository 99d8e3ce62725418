//! `processor_node`: the processors that live.

use std::time::Duration;

use sqlx::PgExecutor;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

/// Says that the processor lives for so long from now. Postgres's time.
pub(crate) async fn renew(
    executor: impl PgExecutor<'_>,
    node: Uuid,
    lease_time: Duration,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO processor_node (id, lease_until) VALUES ($1, now() + $2 * interval '1 second')
         ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until RETURNING clock_timestamp()",
    )
    .bind(node)
    .bind(lease_time.as_secs_f64())
    .fetch_one(executor)
    .await
}

/// Partitions that are not halted for each processor that has a share, rounded up. Processors that died long ago are
/// deleted.
pub(crate) async fn share(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "WITH forgotten AS (DELETE FROM processor_node WHERE lease_until < now() - interval '1 minute')
         SELECT ceil((SELECT count(*) FROM partition_cursor WHERE halted_at IS NULL)::numeric
                     / greatest(1, (SELECT count(*) FROM processor_node WHERE lease_until > now())))::bigint",
    )
    .fetch_one(executor)
    .await
}

/// Says that the processor has no share. Postgres's time.
pub(crate) async fn stand_aside(
    executor: impl PgExecutor<'_>,
    node: Uuid,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar("WITH gone AS (DELETE FROM processor_node WHERE id = $1) SELECT clock_timestamp()")
        .bind(node)
        .fetch_one(executor)
        .await
}

/// Deletes the processor. It may have been forgotten already.
pub(crate) async fn delete(executor: impl PgExecutor<'_>, node: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM processor_node WHERE id = $1").bind(node).execute(executor).await?;
    Ok(())
}

/// Deletes all.
pub(crate) async fn delete_all(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM processor_node").execute(executor).await?;
    Ok(())
}
