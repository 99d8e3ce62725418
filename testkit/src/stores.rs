//! A Postgres and a ClickHouse database for one test.

use service::clickhouse::{ClickHouseConfig, client};
use service::config::{Secret, Settings};
use service::migrate;
use service::postgres::{self, Role};
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

/// Databases and a folder that nobody else uses. They are dropped with the stores, when all tests have ended.
pub struct Stores {
    /// Postgres, migrated; as a superuser, who may look at everything.
    pub pool: PgPool,
    /// Its URL.
    pub database_url: String,
    /// ClickHouse, migrated.
    pub clickhouse: ClickHouseConfig,
    /// For a local log and other files.
    pub folder: TempDir,
}

impl Stores {
    /// Makes them.
    pub async fn fresh() -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let server_url = required("WEIR_TEST_DATABASE_URL");
        let server = postgres::pool(&Secret::from(server_url.as_str()), 3, None).unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&server).await.expect("WEIR_TEST_DATABASE_URL must be a superuser's");
        server.close().await;
        let (base, _) = server_url.rsplit_once('/').unwrap();
        let database_url = format!("{base}/{name}");
        let pool = postgres::pool(&Secret::from(database_url.as_str()), 10, None).unwrap();
        migrate::postgres(&pool).await.unwrap();
        let url = required("WEIR_TEST_CLICKHOUSE_URL");
        let clickhouse = ClickHouseConfig { url, database: name, user: None, password: None };
        migrate::clickhouse(&clickhouse).await.unwrap();
        Self { pool, database_url, clickhouse, folder: tempfile::tempdir().unwrap() }
    }

    /// Connections as a process of that role has them.
    #[must_use]
    pub fn pool_of(&self, role: Role) -> PgPool {
        postgres::pool(&Secret::from(self.database_url.as_str()), 8, Some(role)).unwrap()
    }

    /// A ClickHouse client.
    #[must_use]
    pub fn clickhouse(&self) -> clickhouse::Client {
        client(&self.clickhouse)
    }

    /// The one number that a query of ClickHouse returns.
    pub async fn clickhouse_number(&self, query: &str) -> u64 {
        self.clickhouse().query(query).fetch_one().await.unwrap()
    }

    /// The one number that a query of Postgres returns.
    pub async fn postgres_number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}

/// A variable that `make test` sets.
#[must_use]
pub fn required(name: &'static str) -> String {
    optional(name).unwrap_or_else(|| {
        panic!("{name} is not set: run `make test`, or `make stores` and then this test with what it prints")
    })
}

/// A variable that `make test` sets if it can.
#[must_use]
pub fn optional(name: &'static str) -> Option<String> {
    Settings::from_environment().optional(name, "set by make test")
}
