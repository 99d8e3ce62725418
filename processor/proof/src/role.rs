//! The role `processor`: the way of an event to its commit, and what is done below the cursors all the time.
//!
//! It stands here, since this crate knows both.

use std::sync::Arc;

use clickhouse::Client;
use eventlog::EventLog;
use evidence::SigningKey;
use processor::dead::replay::Replayer;
use processor::{Processor, ProcessorConfig};
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::task::{TaskError, Tasks};
use sqlx::PgPool;

use crate::asked::Verifier;
use crate::erase::Eraser;
use crate::reconcile;
use crate::rollup::Roller;
use crate::seal::Sealer;

/// The role `processor`, ready to run. Any number of processes may have it.
pub struct Processing {
    config: ProcessorConfig,
    pool: PgPool,
    clickhouse: Client,
    /// For what is done below the cursors: its queries may take long.
    proving: Client,
    log: Arc<dyn EventLog>,
    clock: Clock,
    seals_with: Option<Arc<SigningKey>>,
}

impl Processing {
    /// `log` must be the one that the database is bound to ([`processor::own::bind_log`]).
    #[must_use]
    pub fn build(
        config: ProcessorConfig,
        pool: PgPool,
        clickhouse: Client,
        log: Arc<dyn EventLog>,
        clock: Clock,
    ) -> Self {
        Self { config, pool, proving: clickhouse.clone(), clickhouse, log, clock, seals_with: None }
    }

    /// The same, with a client for what is done below the cursors.
    #[must_use]
    pub fn proving(self, client: Client) -> Self {
        Self { proving: client, ..self }
    }

    /// The same, which seals closed hours with `key`.
    #[must_use]
    pub fn sealing(self, key: Option<Arc<SigningKey>>) -> Self {
        Self { seals_with: key, ..self }
    }

    /// Processes, replays dead letters, erases, rolls up, seals, reconciles and proves what is asked for, until
    /// `shutdown` is ordered.
    ///
    /// # Errors
    /// [`TaskError`]: the processor gave up ([`processor::run::Fatal`]), or a task ended by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TaskError> {
        let Self { config, pool, clickhouse, proving, log, clock, seals_with } = self;
        let mut tasks = Tasks::default();
        if config.erases {
            let (pool, clickhouse, log) = (pool.clone(), proving.clone(), Arc::clone(&log));
            let eraser = Eraser::new(pool, clickhouse, log, clock.clone(), &config);
            tasks.spawn("erasure", eraser.run(tasks.shutdown()));
        }
        if config.rolls_up {
            let roller = Roller::new(pool.clone(), proving.clone(), clock.clone());
            tasks.spawn("roll-up", roller.run(tasks.shutdown()));
        }
        if !config.reconcile_every.is_zero() {
            let (pool, clickhouse, period) = (pool.clone(), proving.clone(), config.reconcile_every);
            tasks.spawn("reconciliation", reconcile::run(pool, clickhouse, period, tasks.shutdown()));
        }
        if let Some(key) = seals_with {
            let (pool, clickhouse, log) = (pool.clone(), proving.clone(), Arc::clone(&log));
            let sealer = Sealer::new(pool, clickhouse, log, clock.clone(), key);
            tasks.spawn("sealing", sealer.run(tasks.shutdown()));
        }
        let stores = (pool.clone(), proving.clone(), Arc::clone(&log));
        let verifier = Verifier::new(stores.0, stores.1, stores.2, config.clone());
        tasks.spawn("verification", verifier.run(tasks.shutdown()));
        let replayer = Replayer::new(pool.clone(), Arc::clone(&log), clock.clone(), config.dedup_window);
        tasks.spawn("replay of dead letters", replayer.run(tasks.shutdown()));
        tasks.spawn("the geo database's watch", config.enricher.clone().keep_fresh(tasks.shutdown()));
        let processor = Processor::new(pool, clickhouse, log, clock, config);
        tasks.try_spawn("processing", processor.run(tasks.shutdown()));
        tasks.run(&shutdown).await
    }
}
