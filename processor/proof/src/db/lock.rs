//! Advisory locks of Postgres, whose keys stand in [`schemas::lock`].

use sqlx::{PgConnection, PgExecutor};

/// Takes a lock for as long as the connection lives, or until it is released. Not if another connection has it.
pub(crate) async fn try_take(executor: impl PgExecutor<'_>, key: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key).fetch_one(executor).await
}

/// Releases a lock that this connection has.
pub(crate) async fn release(executor: impl PgExecutor<'_>, key: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(executor).await?;
    Ok(())
}

/// Waits for a lock, and has it until the transaction ends.
pub(crate) async fn wait(tx: &mut PgConnection, key: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(tx).await?;
    Ok(())
}
