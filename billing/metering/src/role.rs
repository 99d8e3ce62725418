//! The role `billing`: what nobody waits for.

use std::sync::Arc;

use eventlog::EventLog;
use service::shutdown::Shutdown;
use service::task::{TaskError, Tasks};
use sqlx::PgPool;

use crate::outcomes::{self, RetentionConfig};
use crate::reclaim;

/// The role `billing`, ready to run. Any number of processes may have it.
pub struct Billing {
    config: RetentionConfig,
    pool: PgPool,
    log: Arc<dyn EventLog>,
}

impl Billing {
    /// `log` must be the one that the database is bound to.
    #[must_use]
    pub fn build(config: RetentionConfig, pool: PgPool, log: Arc<dyn EventLog>) -> Self {
        Self { config, pool, log }
    }

    /// Reclaims leases of dead ingest nodes and deletes old outcomes until `shutdown` is ordered.
    ///
    /// # Errors
    /// [`TaskError`]: a task ended by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TaskError> {
        let Self { config, pool, log } = self;
        let mut tasks = Tasks::default();
        tasks.spawn("reclaiming", reclaim::run(pool.clone(), log, tasks.shutdown()));
        tasks.spawn("deletion of old outcomes", outcomes::run(pool, config, tasks.shutdown()));
        tasks.run(&shutdown).await
    }
}
