//! The schema of both databases, brought up to date from the files in `migrations/`, which are built in.

use clickhouse::Client;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, PgPool, SqlSafeStr};

use crate::clickhouse::ClickHouseConfig;

/// Version, name and text of each file.
macro_rules! files {
    ($($version:literal $name:literal,)+) => {
        &[$((
            $version,
            $name,
            include_str!(concat!("../../migrations/postgres/", $version, "_", $name, ".sql")),
        )),+]
    };
}

/// In order; each is run once, in a transaction. By hand, for the reason that the workspace's Cargo.toml gives for
/// sqlx's features.
const POSTGRES: &[(i64, &str, &str)] = files! {
    20261123000001 "create_directory",
    20261123000002 "create_log_and_usage",
    20261123000003 "create_quota",
    20261123000004 "add_last_used",
    20261123000005 "add_spool",
    20261123000006 "add_outcomes",
    20261123000007 "add_ids_generation",
    20261123000008 "add_client_ip_policy",
    20261123000009 "create_erasure",
    20261123000010 "add_dead_letter_replay",
    20261130000001 "create_roles",
    20261130000023 "append_dead_letters",
    20261130100001 "isolate_tenants",
    20261130100002 "create_audit",
    20261130100003 "create_people",
    20261130110001 "extend_people",
    20261130110002 "index_audit",
    20261130110003 "create_passkey",
    20261130110004 "create_openid_identity",
    20261130130001 "create_jobs",
    20261130130002 "send_mails",
    20261130140001 "create_idempotent_request",
    20261130141500 "add_lifecycle",
    20261130150001 "create_platform_members",
    20261130170001 "create_verification",
    20261130170002 "index_sessions",
    20261130173001 "hash_contents",
    20261130180001 "bind_machine_tokens",
    20261130180002 "mark_unused_devices",
    20261130180003 "index_searches",
    20261130200001 "halt_partitions",
    20261130200002 "mark_cursors",
    20261130210001 "index_addresses",
    20261130210002 "show_quota_drift",
    20261130210003 "seal_hours",
    20261130210004 "hash_usage",
    20261130220001 "name_totals_of_leases",
};

/// One statement each, in order. Each may be run again, and changes nothing then.
const CLICKHOUSE: &[&str] = &[
    include_str!("../../migrations/clickhouse/20261123000001_create_events.sql"),
    include_str!("../../migrations/clickhouse/20261123000002_add_enrichment.sql"),
    include_str!("../../migrations/clickhouse/20261123000003_index_events.sql"),
    include_str!("../../migrations/clickhouse/20261123000004_create_erased_ids.sql"),
    include_str!("../../migrations/clickhouse/20261123000005_create_events_hourly.sql"),
    include_str!("../../migrations/clickhouse/20261123000006_create_known_ids.sql"),
    include_str!("../../migrations/clickhouse/20261123000007_write_compact_parts.sql"),
    include_str!("../../migrations/clickhouse/20261130000001_hash_contents.sql"),
    include_str!("../../migrations/clickhouse/20261130000002_keep_contents_of_erased.sql"),
];

/// Brings the Postgres database up to date. Several processes may do so at once: they wait for each other.
///
/// On a connection of its own. What it holds when a migration fails, the lock above all, ends with it; and its
/// statements have no deadline, since an index of a large table takes longer than any request.
///
/// # Errors
/// If Postgres fails, or the database was made by a newer weir.
pub async fn postgres(pool: &PgPool) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
    let migrated = migrator().run(&mut connection).await;
    connection.close().await?;
    migrated
}

fn migrator() -> Migrator {
    let migration = |&(version, name, sql): &(i64, &str, &'static str)| {
        Migration::new(
            version,
            name.replace('_', " ").into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(POSTGRES.iter().map(migration).collect())
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

    #[tokio::test]
    async fn every_postgres_migration_is_built_in_as_sqlx_reads_it_from_its_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
        let files = Migrator::new(folder).await.unwrap();
        let all = |migrator: &Migrator| {
            let each = |migration: &Migration| {
                let Migration { version, description, checksum, no_tx, .. } = migration.clone();
                (version, description, checksum, no_tx)
            };
            migrator.iter().map(each).collect::<Vec<_>>()
        };
        assert_eq!(all(&files), all(&migrator()));
    }

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
