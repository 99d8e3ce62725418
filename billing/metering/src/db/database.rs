//! What Postgres and ClickHouse say of themselves.

use chrono::{DateTime, Utc};
use clickhouse::{Client, Row};
use serde::Deserialize;
use sqlx::PgExecutor;

/// Postgres's time, and the bytes of the database on its disk.
pub(crate) async fn now_and_bytes(
    executor: impl PgExecutor<'_>,
) -> Result<(DateTime<Utc>, i64), sqlx::Error> {
    sqlx::query_as("SELECT now(), pg_database_size(current_database())").fetch_one(executor).await
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
