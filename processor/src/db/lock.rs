//! Advisory locks of Postgres, whose keys stand in [`schemas::lock`]. Those taken here belong to a connection: they end
//! when it does, however that is.

use schemas::lock::{ERASURE, RECONCILE, ROWS};
use sqlx::PgConnection;

use super::number;

/// For how long to wait for those who hold what is wanted: they may be stopped, but not gone.
const SET_PATIENCE: &str = "SET lock_timeout = '10min'";

/// Lets the connection wait for locks for ten minutes.
pub(crate) async fn be_patient(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(SET_PATIENCE).execute(connection).await?;
    Ok(())
}

/// Waits for the rows of all partitions, and shares them.
pub(crate) async fn share_rows_of_all(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT pg_advisory_lock_shared($1, partition)
         FROM (SELECT partition FROM partition_cursor ORDER BY partition) AS all_partitions",
    )
    .bind(ROWS)
    .execute(connection)
    .await?;
    Ok(())
}

/// Waits for the rows of a partition, and holds them alone.
pub(crate) async fn hold_rows(connection: &mut PgConnection, partition: u32) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock($1, $2)")
        .bind(ROWS)
        .bind(number(partition))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether it is the one that reconciles.
pub(crate) async fn try_reconcile(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
        .bind(ROWS)
        .bind(RECONCILE)
        .fetch_one(connection)
        .await
}

/// Waits for an erasure that is being counted, and lets none begin.
pub(crate) async fn hold_back_erasures(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(ERASURE).execute(connection).await?;
    Ok(())
}

/// Lets go of all that the connection holds.
pub(crate) async fn release_all(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_unlock_all()").execute(connection).await?;
    Ok(())
}
