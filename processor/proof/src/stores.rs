//! Where everything is that a proof compares.

use std::path::Path;
use std::time::Duration;

use clickhouse::Client;
use eventlog::EventLog;
use processor::ProcessorConfig;
use processor::enrich::Enricher;
use sqlx::PgPool;

/// Log, ledgers and rows, and how a processor makes these of the log.
#[derive(Clone, Copy)]
pub struct Stores<'a> {
    /// Postgres.
    pub pool: &'a PgPool,
    /// ClickHouse.
    pub clickhouse: &'a Client,
    /// The log.
    pub log: &'a dyn EventLog,
    /// For how long an id is remembered, from its receipt.
    pub dedup_window: Duration,
    /// How long ClickHouse may take over one insert.
    pub insert_deadline: Duration,
    /// What gives rows their further columns.
    pub enricher: &'a Enricher,
    /// A folder for what a proof sets aside: 64 bytes for each event of the log. It need not be there yet.
    pub scratch: &'a Path,
}

impl<'a> Stores<'a> {
    /// With the settings of a processor.
    #[must_use]
    pub fn new(
        pool: &'a PgPool,
        clickhouse: &'a Client,
        log: &'a dyn EventLog,
        config: &'a ProcessorConfig,
    ) -> Self {
        let ProcessorConfig { dedup_window, insert_deadline, ref enricher, ref scratch, .. } = *config;
        Self { pool, clickhouse, log, dedup_window, insert_deadline, enricher, scratch }
    }
}
