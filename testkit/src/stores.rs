//! A Postgres and a ClickHouse database for one test.

use eventlog::EventLog;
use processor::ProcessorConfig;
use proof::{Head, Verdict};
use service::clickhouse::{ClickHouseConfig, client};
use service::config::{Secret, Settings};
use service::migrate;
use service::postgres::{self, Role};
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

/// A Postgres database that nobody else uses, for tests that need nothing else.
pub struct Database {
    name: String,
    /// Its URL.
    pub url: String,
    /// As a superuser, who may look at everything.
    pub pool: PgPool,
}

impl Database {
    /// Makes one, migrated.
    pub async fn fresh() -> Self {
        let database = Self::empty().await;
        migrate::postgres(&database.pool).await.unwrap();
        database
    }

    /// The same with nothing in it yet.
    pub async fn empty() -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let server_url = required("WEIR_TEST_DATABASE_URL");
        let server = postgres::pool(&Secret::from(server_url.as_str()), 3, None).unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&server).await.expect("WEIR_TEST_DATABASE_URL must be a superuser's");
        server.close().await;
        let (base, _) = server_url.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        let pool = postgres::pool(&Secret::from(url.as_str()), 10, None).unwrap();
        Self { name, url, pool }
    }

    /// All rows of all tables as text, bytes both as they are printed and as the text that they may be.
    pub async fn dump(&self) -> String {
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let mut text = String::new();
        for table in tables {
            for output in ["hex", "escape"] {
                let mut connection = self.pool.acquire().await.unwrap();
                let set = sqlx::AssertSqlSafe(format!("SET bytea_output = {output}"));
                sqlx::query(set).execute(&mut *connection).await.unwrap();
                let all = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
                let rows: Vec<String> = sqlx::query_scalar(all).fetch_all(&mut *connection).await.unwrap();
                text.push_str(&rows.join("\n"));
            }
        }
        text
    }

    /// At most so many connections as a process of that role has them.
    #[must_use]
    pub fn pool_of(&self, connections_max: u32, role: Role) -> PgPool {
        pool_of(&self.url, connections_max, role)
    }
}

fn pool_of(url: &str, connections_max: u32, role: Role) -> PgPool {
    postgres::pool(&Secret::from(url), connections_max, Some(role)).unwrap()
}

/// Databases and a folder that nobody else uses. They are dropped with the stores, when all tests have ended.
pub struct Stores {
    /// Postgres, migrated; as a superuser, who may look at everything.
    pub pool: PgPool,
    /// As a processor has it: for what a test proves, repairs or erases by itself, so that a missing right is found.
    pub processor: PgPool,
    /// Its URL.
    pub database_url: String,
    /// ClickHouse, migrated.
    pub clickhouse: ClickHouseConfig,
    /// For a local log and other files.
    pub folder: TempDir,
}

impl Stores {
    /// What a proof of them comes to, by the settings that a processor has where none are made.
    pub async fn verdict(&self, log: &dyn EventLog) -> Verdict {
        self.verdict_since(log, &[]).await
    }

    /// The same, which holds the ledgers against heads that were kept.
    pub async fn verdict_since(&self, log: &dyn EventLog, heads: &[Head]) -> Verdict {
        self.verdict_with(log, heads, Settings::new([])).await
    }

    /// What a proof of them comes to, by these settings of a processor.
    pub async fn verdict_by(&self, log: &dyn EventLog, settings: Vec<(&'static str, String)>) -> Verdict {
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.verdict_with(log, &[], Settings::new(settings)).await
    }

    async fn verdict_with(&self, log: &dyn EventLog, heads: &[Head], mut settings: Settings) -> Verdict {
        let config = ProcessorConfig::read(&mut settings, self.folder.path());
        let clickhouse = self.clickhouse();
        proof::verify::verify_since(&proof::Stores::new(&self.processor, &clickhouse, log, &config), heads)
            .await
            .unwrap()
    }

    /// Makes them.
    pub async fn fresh() -> Self {
        let stores = Self::empty().await;
        migrate::postgres(&stores.pool).await.unwrap();
        stores
    }

    /// The same with a Postgres in which there is nothing yet.
    pub async fn empty() -> Self {
        let Database { name, url: database_url, pool } = Database::empty().await;
        let url = required("WEIR_TEST_CLICKHOUSE_URL");
        let clickhouse = ClickHouseConfig { url, database: name, user: None, password: None };
        migrate::clickhouse(&clickhouse).await.unwrap();
        let processor = pool_of(&database_url, 8, Role::Processor);
        Self { pool, processor, database_url, clickhouse, folder: tempfile::tempdir().unwrap() }
    }

    /// Connections as a process of that role has them.
    #[must_use]
    pub fn pool_of(&self, role: Role) -> PgPool {
        pool_of(&self.database_url, 8, role)
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

/// A variable that `make test` sets if it can, and in continuous integration (`CI=true`) in any case.
#[must_use]
pub fn optional(name: &'static str) -> Option<String> {
    found(&mut Settings::from_environment(), name)
}

fn found(settings: &mut Settings, name: &'static str) -> Option<String> {
    let value = settings.optional(name, "set by make test");
    let may_be_missing = settings.optional("CI", "whether all tests must run").as_deref() != Some("true");
    assert!(value.is_some() || may_be_missing, "{name} is not set: with CI=true no test is left out");
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(variables: &[(&str, &str)]) -> Option<String> {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        found(&mut Settings::new(pairs), "STORE")
    }

    #[test]
    fn a_store_may_be_missing_on_a_developers_machine() {
        assert_eq!(store(&[("STORE", "")]), None);
        assert_eq!(store(&[("STORE", "host:1"), ("CI", "true")]).as_deref(), Some("host:1"));
    }

    #[test]
    #[should_panic(expected = "STORE is not set: with CI=true no test is left out")]
    fn a_store_that_is_missing_in_ci_is_a_failure() {
        store(&[("STORE", ""), ("CI", "true")]);
    }
}
