//! All settings of the binary.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use accounts::AccountsConfig;
use admin_api::AdminConfig;
use anyhow::Context;
use evidence::SigningKey;
use ingest::IngestConfig;
use metering::outcomes::RetentionConfig;
use processor::ProcessorConfig;
use service::clickhouse::ClickHouseConfig;
use service::config::{ConfigError, Secret, Settings};
use service::postgres::{self, Role};
use service::trace::TraceConfig;
use sqlx::PgPool;
use worker::WorkerConfig;

use crate::roles::Roles;

/// Where the stores are.
#[derive(Debug, Clone)]
pub(crate) struct StoresConfig {
    pub(crate) database: DatabaseConfig,
    pub(crate) clickhouse: ClickHouseConfig,
    /// `None`: the local disk log.
    pub(crate) kafka_brokers: Option<String>,
    pub(crate) kafka_topic: String,
    pub(crate) kafka_replication: u16,
    /// `name=value`, with commas.
    pub(crate) kafka_settings: Vec<(String, String)>,
    pub(crate) data_dir: PathBuf,
    /// Of a log that is made; `None`: 1 on the local disk, 8 in Kafka.
    pub(crate) partitions: Option<u32>,
    pub(crate) retention_hours: u64,
}

impl StoresConfig {
    pub(crate) fn read(settings: &mut Settings) -> Self {
        let partitions = settings.number(
            "WEIR_PARTITIONS",
            0,
            0..=1_000,
            "partitions of a log that is made, fixed for its life; 0: 1 on the local disk, 8 in Kafka",
        );
        Self {
            database: DatabaseConfig::read(settings),
            clickhouse: clickhouse(settings),
            kafka_brokers: settings.optional(
                "KAFKA_BROKERS",
                "host:port, with commas; if it is not set, the log is on the local disk",
            ),
            kafka_topic: settings.get("KAFKA_TOPIC", "weir.events".to_owned(), "the topic of the log"),
            kafka_replication: settings.number(
                "KAFKA_REPLICATION",
                1,
                1..=7,
                "replicas of each partition of a topic that is made",
            ),
            kafka_settings: kafka_settings(settings),
            data_dir: settings
                .get(
                    "WEIR_DATA_DIR",
                    "weir-data".to_owned(),
                    "folder of the local disk log, of ingest's spool and copy of keys and tenants, and of \
                     processors' seen ids",
                )
                .into(),
            partitions: (partitions > 0).then_some(partitions),
            retention_hours: settings.number(
                "WEIR_LOG_RETENTION_HOURS",
                7 * 24,
                1..=10 * 366 * 24,
                "hours that the log keeps processed records at least",
            ),
        }
    }

    /// How many partitions a log is made with.
    pub(crate) fn partitions_made(&self) -> u32 {
        self.partitions.unwrap_or(if self.kafka_brokers.is_some() { 8 } else { 1 })
    }
}

/// How Postgres is reached, by role.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseConfig {
    url: Secret,
    /// In the order of [`Role::ALL`]; `None`: `url`.
    role_urls: [Option<Secret>; Role::ALL.len()],
    connections_max: u32,
}

impl DatabaseConfig {
    fn read(settings: &mut Settings) -> Self {
        Self {
            url: settings.secret("DATABASE_URL", "postgres://user:password@host:port/database"),
            role_urls: [
                "WEIR_INGEST_DATABASE_URL",
                "WEIR_PROCESSOR_DATABASE_URL",
                "WEIR_BILLING_DATABASE_URL",
                "WEIR_API_DATABASE_URL",
            ]
            .map(|name| {
                settings.optional_secret(name, "instead of DATABASE_URL, a login of that database role alone")
            }),
            connections_max: settings.number(
                "WEIR_DATABASE_CONNECTIONS_MAX",
                8,
                3..=1_000,
                "connections to Postgres that each role of a process has open at once; the admin API as \
                 many more for jobs, and 3 for operators",
            ),
        }
    }

    /// As that role.
    pub(crate) fn pool(&self, role: Role) -> anyhow::Result<PgPool> {
        self.pool_of(role, self.connections_max)
    }

    /// The same, of another size.
    fn pool_of(&self, role: Role, connections_max: u32) -> anyhow::Result<PgPool> {
        let own = Role::ALL.iter().zip(&self.role_urls).find(|(of, _)| **of == role);
        let url = own.and_then(|(_, url)| url.as_ref()).unwrap_or(&self.url);
        let pool = postgres::pool(url, connections_max, Some(role));
        pool.with_context(|| format!("the database URL of {} can't be read", role.name()))
    }

    /// As the login itself, for migrations.
    pub(crate) fn login_pool(&self) -> anyhow::Result<PgPool> {
        postgres::pool(&self.url, self.connections_max, None).context("DATABASE_URL can't be read")
    }
}

/// Connections to Postgres for operators' requests. Operators are few.
const OPERATORS_CONNECTIONS: u32 = 3;

/// Connections to Postgres as each role. None is opened before it is needed.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    pub(crate) ingest: PgPool,
    pub(crate) processor: PgPool,
    pub(crate) billing: PgPool,
    pub(crate) api: PgPool,
    /// As the API, for operators' requests: whatever tenants do, operators get in.
    pub(crate) operators: PgPool,
    /// As the API, for jobs: no request waits for them.
    pub(crate) worker: PgPool,
}

impl Pools {
    pub(crate) fn new(database: &DatabaseConfig) -> anyhow::Result<Self> {
        Ok(Self {
            ingest: database.pool(Role::Ingest)?,
            processor: database.pool(Role::Processor)?,
            billing: database.pool(Role::Billing)?,
            api: database.pool(Role::Api)?,
            operators: database.pool_of(Role::Api, OPERATORS_CONNECTIONS)?,
            worker: database.pool(Role::Api)?,
        })
    }

    /// As what a process of these roles binds the database to the log.
    pub(crate) fn binding(&self, roles: Roles) -> &PgPool {
        match roles {
            Roles { ingest: true, .. } => &self.ingest,
            Roles { processor: true, .. } => &self.processor,
            Roles { billing: true, .. } => &self.billing,
            _ => &self.api,
        }
    }

    /// Those of the admin API's listeners.
    pub(crate) fn of_listeners(&self) -> admin_api::Pools {
        admin_api::Pools { tenants: self.api.clone(), operators: self.operators.clone() }
    }

    pub(crate) async fn close(&self) {
        let Self { ingest, processor, billing, api, operators, worker } = self;
        for pool in [ingest, processor, billing, api, operators, worker] {
            pool.close().await;
        }
    }
}

/// What ingest does while Kafka is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutagePolicy {
    /// Takes events to the local disk.
    Spool,
    /// Refuses them.
    Refuse,
}

impl fmt::Display for OutagePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spool => "spool",
            Self::Refuse => "refuse",
        })
    }
}

impl FromStr for OutagePolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "spool" => Ok(Self::Spool),
            "refuse" => Ok(Self::Refuse),
            _ => Err("it is spool or refuse"),
        }
    }
}

/// What ingest does while Kafka is away, in figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutageConfig {
    pub(crate) policy: OutagePolicy,
    pub(crate) spool_bytes_max: u64,
    pub(crate) patience: Duration,
}

impl OutageConfig {
    fn read(settings: &mut Settings) -> Self {
        Self {
            policy: settings.get(
                "WEIR_OUTAGE_POLICY",
                OutagePolicy::Spool,
                "while Kafka is away: spool (take events to the local disk) or refuse (503)",
            ),
            spool_bytes_max: settings.number(
                "WEIR_SPOOL_BYTES_MAX",
                10 << 30,
                16 << 20..=1 << 50,
                "bytes of events on the local disk that wait for Kafka; beyond them 503",
            ),
            patience: Duration::from_millis(settings.number(
                "WEIR_KAFKA_PATIENCE_MS",
                2_000,
                100..=6_000,
                "milliseconds that Kafka has to confirm events before they go to the spool",
            )),
        }
    }
}

/// A secret, since passwords stand there.
fn kafka_settings(settings: &mut Settings) -> Vec<(String, String)> {
    let given = settings.optional_secret(
        "KAFKA_SETTINGS",
        "librdkafka settings for TLS and SASL: name=value, with commas, as in security.protocol=SASL_SSL",
    );
    let mut pairs = Vec::new();
    for setting in
        given.iter().flat_map(|given| given.expose().split(',')).filter(|setting| !setting.is_empty())
    {
        match setting.split_once('=') {
            Some((name, value)) => pairs.push((name.trim().to_owned(), value.to_owned())),
            None => settings
                .refuse("KAFKA_SETTINGS has an entry without `=`: it is name=value, with commas".to_owned()),
        }
    }
    pairs
}

fn clickhouse(settings: &mut Settings) -> ClickHouseConfig {
    let url = settings.get("CLICKHOUSE_URL", "http://127.0.0.1:8123".to_owned(), "http://host:port");
    // What stands in a URL is shown.
    if !url.starts_with("http://") || url.contains(['@', '?', '#']) {
        settings.refuse(
            "CLICKHOUSE_URL is not http://host:port: user and password are CLICKHOUSE_USER and CLICKHOUSE_PASSWORD"
                .to_owned(),
        );
    }
    ClickHouseConfig {
        url,
        database: settings.get("CLICKHOUSE_DATABASE", "weir".to_owned(), "database of weir's tables"),
        user: settings.optional("CLICKHOUSE_USER", "user of that database"),
        password: settings.optional_secret("CLICKHOUSE_PASSWORD", "its password"),
    }
}

/// Everything that a serving process needs.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) log_filter: String,
    pub(crate) ops_listen: SocketAddr,
    pub(crate) trace: TraceConfig,
    pub(crate) stores: StoresConfig,
    /// `None`: this process takes no events.
    pub(crate) outage: Option<OutageConfig>,
    pub(crate) ingest: Option<IngestConfig>,
    pub(crate) processor: Option<ProcessorConfig>,
    /// What the processor seals closed hours with, and ingest signs receipts with.
    pub(crate) evidence_key: Option<Arc<SigningKey>>,
    pub(crate) billing: Option<RetentionConfig>,
    pub(crate) admin: Option<AdminConfig>,
    pub(crate) worker: Option<WorkerConfig>,
}

fn evidence_key(settings: &mut Settings) -> Option<Arc<SigningKey>> {
    let meaning = "32 bytes as 64 hexadecimal digits, the seed of the Ed25519 key that receipts are signed and closed \
        hours sealed with, so that tenants can prove what was counted; without it none is";
    let secret = settings.optional_secret("WEIR_EVIDENCE_KEY", meaning)?;
    match secret.expose().parse() {
        Ok(key) => Some(Arc::new(key)),
        Err(_) => {
            settings.refuse("WEIR_EVIDENCE_KEY is not 64 hexadecimal digits".to_owned());
            None
        }
    }
}

impl Config {
    pub(crate) fn read(settings: &mut Settings, roles: Roles) -> Self {
        let log_filter =
            settings.get("WEIR_LOG", "info".to_owned(), "what is logged: info, or info,ingest=debug");
        let ops_listen = settings.get(
            "WEIR_OPS_ADDR",
            SocketAddr::from(([127, 0, 0, 1], 7402)),
            "address and port of /healthz, /readyz and /metrics",
        );
        let trace = TraceConfig::read(settings);
        let stores = StoresConfig::read(settings);
        let evidence_key = if roles.processor || roles.ingest { evidence_key(settings) } else { None };
        let admin = roles.admin.then(|| AdminConfig::read(settings));
        Self {
            log_filter,
            ops_listen,
            trace,
            outage: roles.ingest.then(|| OutageConfig::read(settings)),
            ingest: roles.ingest.then(|| {
                let ingest = IngestConfig::read(settings);
                IngestConfig { evidence_key: evidence_key.clone(), ..ingest }
            }),
            processor: roles.processor.then(|| ProcessorConfig::read(settings, &stores.data_dir)),
            evidence_key,
            billing: roles.billing.then(|| RetentionConfig::read(settings)),
            worker: admin.as_ref().map(|admin| {
                WorkerConfig::read(settings, admin.accounts.key.clone(), admin.accounts.public_url.clone())
            }),
            admin,
            stores,
        }
    }

    pub(crate) fn from_environment(roles: Roles) -> Result<Self, ConfigError> {
        let mut settings = Settings::from_environment();
        let config = Self::read(&mut settings, roles);
        settings.finish()?;
        Ok(config)
    }
}

/// The stores' settings alone, for the command line.
pub(crate) fn stores() -> Result<StoresConfig, ConfigError> {
    let mut settings = Settings::from_environment();
    let config = StoresConfig::read(&mut settings);
    settings.finish()?;
    Ok(config)
}

/// What lets people in, for commands that make passwords.
pub(crate) fn accounts() -> Result<AccountsConfig, ConfigError> {
    let mut settings = Settings::from_environment();
    let config = AccountsConfig::read(&mut settings);
    settings.finish()?;
    Ok(config)
}

/// The stores' settings and a processor's, for commands that do its work.
pub(crate) fn processor() -> Result<(StoresConfig, ProcessorConfig), ConfigError> {
    let mut settings = Settings::from_environment();
    let stores = StoresConfig::read(&mut settings);
    let processor = ProcessorConfig::read(&mut settings, &stores.data_dir);
    let config = (stores, processor);
    settings.finish()?;
    Ok(config)
}
