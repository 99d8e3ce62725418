//! Who works alone.

use sqlx::{Connection, PgConnection, PgPool};

use crate::db::lock;

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
        if lock::try_take(&mut connection, key).await? {
            return Ok(Some(Self { connection, key }));
        }
        connection.close().await?;
        Ok(None)
    }

    pub(crate) async fn end(mut self) -> Result<(), sqlx::Error> {
        // The server may take its time to see that the connection is closed.
        lock::release(&mut self.connection, self.key).await?;
        self.connection.close().await
    }
}
