//! What Postgres and ClickHouse say of themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clickhouse::{Client, Row};
use serde::Deserialize;
use sqlx::PgExecutor;

/// Postgres's time. No statement of this transaction takes longer than `patience` from now on: who waits no longer
/// leaves none running.
pub(crate) async fn now_with(
    executor: impl PgExecutor<'_>,
    patience: Duration,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let query = sqlx::query_as("SELECT now(), set_config('statement_timeout', $1, true)");
    let (now, _): (_, String) = query.bind(patience.as_millis().to_string()).fetch_one(executor).await?;
    Ok(now)
}

/// The bytes of the database on Postgres's disk: it looks at each of its files.
pub(crate) async fn bytes(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(executor).await
}

/// A disk of ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct DiskRow {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) free_space: u64,
    pub(crate) total_space: u64,
}

/// All disks of ClickHouse, by their names.
pub(crate) async fn disks(client: &Client) -> Result<Vec<DiskRow>, clickhouse::error::Error> {
    let rows = client.query("SELECT name, path, free_space, total_space FROM system.disks ORDER BY name");
    rows.fetch_all().await
}
