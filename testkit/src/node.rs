//! An ingest node next to a river: on its log, with settings of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use eventlog::EventLog;
use ingest::{Ingest, IngestConfig};
use service::clock::Clock;
use service::config::Settings;
use service::shutdown::{Shutdown, ShutdownTrigger};
use service::task::TaskError;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::Client;

/// A running node.
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it knew whom to serve when it had started.
    pub knows_keys: bool,
    bound: watch::Sender<bool>,
    trigger: ShutdownTrigger,
    running: JoinHandle<Result<(), TaskError>>,
}

/// What a test may set.
pub struct NodeConfig {
    /// Its Postgres.
    pub pool: PgPool,
    /// Its log.
    pub log: Arc<dyn EventLog>,
    /// Settings by name, as in the environment.
    pub settings: Vec<(&'static str, String)>,
    /// Where it saves keys and tenants.
    pub directory_file: Option<PathBuf>,
    /// Whether the database is known to be the log's.
    pub is_bound: bool,
    /// What time it is.
    pub clock: Clock,
}

impl Node {
    /// Starts it.
    pub async fn start(config: NodeConfig) -> Self {
        let NodeConfig { pool, log, settings, directory_file, is_bound, clock } = config;
        let fixed = [
            ("WEIR_INGEST_ADDR", "127.0.0.1:0"),
            ("WEIR_DRAIN_DEADLINE_MS", "1000"),
            ("WEIR_DRAIN_GRACE_MS", "20"),
        ];
        let fixed = fixed.map(|(name, value)| (name, value.to_owned()));
        let all = fixed.into_iter().chain(settings).map(|(name, value)| (name.to_owned(), value));
        let mut settings = Settings::new(all);
        let config = IngestConfig { directory_file, ..IngestConfig::read(&mut settings) };
        settings.finish().unwrap();
        let (bound, is_bound) = watch::channel(is_bound);
        let ingest = Ingest::build(config, pool, log, clock, is_bound).await.unwrap();
        let (address, knows_keys) = (ingest.local_addr().unwrap(), ingest.knows_keys());
        let (trigger, shutdown) = Shutdown::new();
        Self { address, knows_keys, bound, trigger, running: tokio::spawn(ingest.run(shutdown)) }
    }

    /// Marks the database as the log's.
    pub fn bind(&self) {
        self.bound.send_replace(true);
    }

    /// A client of it with that key.
    #[must_use]
    pub fn client(&self, key: &str) -> Client {
        Client::new(self.address, Some(key))
    }

    /// Drains and stops it.
    pub async fn stop(self) {
        self.trigger.order();
        self.running.await.unwrap().unwrap();
    }
}
