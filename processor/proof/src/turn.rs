//! Who works alone.

use sqlx::{Connection, PgConnection, PgPool};

/// A connection that ends where its future is dropped, and a transaction on it with it. One of the pool would go back.
pub(crate) async fn connection(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    Ok(pool.acquire().await?.detach())
}

/// The right to work on something alone, which ends with the connection at the latest.
pub(crate) struct Turn {
    connection: PgConnection,
    key: i64,
}

impl Turn {
    /// `None` if another process has it. `key` is one of Postgres's advisory locks.
    pub(crate) async fn take(pool: &PgPool, key: i64) -> Result<Option<Self>, sqlx::Error> {
        let mut connection = connection(pool).await?;
        let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(key)
            .fetch_one(&mut connection)
            .await?;
        if is_ours {
            return Ok(Some(Self { connection, key }));
        }
        connection.close().await?;
        Ok(None)
    }

    pub(crate) async fn end(mut self) -> Result<(), sqlx::Error> {
        // The server may take its time to see that the connection is closed.
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(self.key).execute(&mut self.connection).await?;
        self.connection.close().await
    }
}
