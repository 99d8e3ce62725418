//! `event_log`: the log that this database belongs to. It has one row, which never changes.

use sqlx::PgExecutor;

/// Names the log, unless one is named already.
pub(crate) async fn name(
    executor: impl PgExecutor<'_>,
    identity: &str,
    partitions: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO event_log (identity, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(identity)
        .bind(partitions)
        .execute(executor)
        .await?;
    Ok(())
}

/// Identity and number of partitions of the log that is named.
pub(crate) async fn named(executor: impl PgExecutor<'_>) -> Result<(String, i32), sqlx::Error> {
    sqlx::query_as("SELECT identity, partitions FROM event_log").fetch_one(executor).await
}
