//! `reconciled_partition`: how far reconciliation has come.

use sqlx::PgExecutor;

/// Begins with partitions that are new.
pub(crate) async fn add_new(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO reconciled_partition (partition)
         SELECT partition FROM partition_cursor ON CONFLICT DO NOTHING",
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Each partition: up to where new ranges were compared, and where the comparison of older ones goes on.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<(i32, i64, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT partition, new_to, old_to FROM reconciled_partition ORDER BY partition")
        .fetch_all(executor)
        .await
}

/// Notes the same.
pub(crate) async fn note(
    executor: impl PgExecutor<'_>,
    (partition, new_to, old_to): (i32, i64, i64),
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE reconciled_partition SET new_to = $2, old_to = $3 WHERE partition = $1")
        .bind(partition)
        .bind(new_to)
        .bind(old_to)
        .execute(executor)
        .await?;
    Ok(())
}
