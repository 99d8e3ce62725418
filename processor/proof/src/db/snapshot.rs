//! A snapshot of all tables, for reading them whole.

use sqlx::{Connection, PgConnection, Postgres, Transaction};

/// Begins one. Its statements may take an hour: each goes over a whole table.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    sqlx::query("SET LOCAL statement_timeout = '1h'").execute(&mut *tx).await?;
    Ok(tx)
}
