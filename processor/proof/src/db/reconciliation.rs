//! `reconciliation`: when the last run ended.

use std::time::Duration;

use sqlx::PgExecutor;

/// Whether the last run ended so long ago, or there was none.
pub(crate) async fn is_due(executor: impl PgExecutor<'_>, every: Duration) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(ended_at <= now() - $1 * interval '1 second', true) FROM reconciliation",
    )
    .bind(every.as_secs_f64())
    .fetch_one(executor)
    .await
}

/// Seconds since the last run ended.
pub(crate) async fn age(executor: impl PgExecutor<'_>) -> Result<Option<f64>, sqlx::Error> {
    sqlx::query_scalar("SELECT extract(epoch FROM now() - ended_at)::float8 FROM reconciliation")
        .fetch_one(executor)
        .await
}

/// A run ends now.
pub(crate) async fn note_end(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE reconciliation SET ended_at = now()").execute(executor).await?;
    Ok(())
}
