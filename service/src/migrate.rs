//! The schema of both databases, brought up to date from the files in `migrations/`, which are built in.

use clickhouse::Client;
use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

use crate::clickhouse::ClickHouseConfig;

static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

/// One statement each, in order. Each may be run again, and changes nothing then.
const CLICKHOUSE: &[&str] = &[
    include_str!("../../migrations/clickhouse/20261123000001_create_events.sql"),
    include_str!("../../migrations/clickhouse/20261123000002_add_enrichment.sql"),
    include_str!("../../migrations/clickhouse/20261123000003_index_events.sql"),
    include_str!("../../migrations/clickhouse/20261123000004_create_erased_ids.sql"),
    include_str!("../../migrations/clickhouse/20261123000005_create_events_hourly.sql"),
    include_str!("../../migrations/clickhouse/20261123000006_create_known_ids.sql"),
    include_str!("../../migrations/clickhouse/20261123000007_write_compact_parts.sql"),
];

/// Brings the Postgres database up to date. Several processes may do so at once.
///
/// # Errors
/// If Postgres fails, or the database was made by a newer weir.
pub async fn postgres(pool: &PgPool) -> Result<(), MigrateError> {
    POSTGRES.run(pool).await
}

/// Makes the ClickHouse database, if there is none, and brings it up to date.
///
/// # Errors
/// If ClickHouse fails.
pub async fn clickhouse(config: &ClickHouseConfig) -> Result<(), clickhouse::error::Error> {
    // The database can't be named as the current one before it is there.
    let server =
        crate::clickhouse::client(&ClickHouseConfig { database: "default".to_owned(), ..config.clone() });
    create_database(&server, &config.database).await?;
    let client = crate::clickhouse::client(config);
    for statement in CLICKHOUSE {
        client.query(statement).execute().await?;
    }
    Ok(())
}

async fn create_database(server: &Client, name: &str) -> Result<(), clickhouse::error::Error> {
    server
        .query("CREATE DATABASE IF NOT EXISTS ? ENGINE = Atomic")
        .bind(clickhouse::sql::Identifier(name))
        .execute()
        .await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_clickhouse_migration_is_built_in_in_the_order_of_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/clickhouse");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert_eq!(texts, CLICKHOUSE);
    }
}
