//! The loop: own, read, dedup, repair, insert, commit.
//!
//! A *session* goes from owning partitions to the first failure. In it, batches pass three stages, each in a task of
//! its own: a batch is prepared while the one before it is inserted and the one before that is committed. So rows may
//! stand in ClickHouse beyond the cursor; the next owner of the partition finds them there and reads them back.
//!
//! What is wrong with one partition ends no session: it is halted or released, and the others are served on. A
//! partition that was taken is made ready in a task of its own, and joins the session then.

mod trouble;
mod rest;
mod lease;
mod fills;
mod pipeline;
mod prepare;
mod session;
mod stage;
mod journey;
mod halts;

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use eventlog::{EventLog, LogError};
use service::clock::Clock;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::Tasks;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::ProcessorConfig;
use crate::stores::{Books, ClickHouse, Postgres, Table};
use lease::Lease;
use pipeline::Workshop;
use rest::Rest;
use seen::IdStores;
use session::Session;
use trouble::{Cause, Trouble};

/// After a store failed: the first pause, which doubles up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(2);

/// One processor. Build it, then [`Processor::run`] it.
pub struct Processor<T = ClickHouse, B = Postgres> {
    workshop: Workshop<T, B>,
    log: Arc<dyn EventLog>,
    config: ProcessorConfig,
}

/// Why the loop begins again, from the cursors.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a partition was taken by another processor")]
    NotOwner,
    #[error("the lease on the partitions was not renewed in time: another processor may have taken them")]
    Lapsed,
    #[error("{0}")]
    Trouble(Trouble),
    #[error("a task broke: {0}")]
    Broke(String),
    #[error("stopping")]
    Stopping,
}

impl From<Trouble> for Interrupted {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<LogError> for Interrupted {
    fn from(error: LogError) -> Self {
        match error.partition() {
            Some(partition) => Self::Trouble(Trouble::halts(partition, Chain(&error))),
            None => Self::Store(error.into()),
        }
    }
}

/// What no restart of the loop can mend, and what concerns all partitions: a store can't be used. The process ends with
/// it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Fatal(StoreError);

impl Processor {
    /// A processor that owns nothing yet. `log` must be the one that the database is bound to
    /// ([`crate::own::bind_log`]).
    pub fn new(
        pool: PgPool,
        clickhouse: Client,
        log: Arc<dyn EventLog>,
        clock: Clock,
        config: ProcessorConfig,
    ) -> Self {
        let books = Postgres { pool, dead: config.dead };
        Self::with_stores(ClickHouse(clickhouse), books, log, clock, config)
    }
}

impl<T: Table, B: Books> Processor<T, B> {
    /// The same with other stores.
    pub fn with_stores(
        table: T,
        books: B,
        log: Arc<dyn EventLog>,
        clock: Clock,
        config: ProcessorConfig,
    ) -> Self {
        let node = Uuid::now_v7();
        let rest = Arc::new(Rest::default());
        let lease = Arc::new(Lease::new(node, config.lease_time, clock.clone(), Arc::clone(&rest)));
        let insert_deadline = config.insert_deadline;
        let ids = Arc::new(IdStores::new(
            config.ids_folder.clone(),
            log.identity(),
            log.partitions(),
            config.dedup_window,
            config.ids_memory_max,
        ));
        let done = Arc::default();
        let workshop = Workshop { node, table, books, lease, insert_deadline, clock, done, ids, rest };
        Self { workshop, log, config }
    }

    /// Processes until `shutdown` is ordered. A store that fails is waited for, with the log as the buffer.
    ///
    /// # Errors
    /// [`Fatal`]: a person is needed.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Fatal> {
        let (lease, books) = (Arc::clone(&self.workshop.lease), self.workshop.books.clone());
        let (done, log) = (Arc::clone(&self.workshop.done), Arc::clone(&self.log));
        // They end with this future, however that ends.
        let mut side_tasks = Tasks::default();
        let (stop_renewing, stop_measuring) = (side_tasks.shutdown(), side_tasks.shutdown());
        let halts = halts::keep_watched(
            books.clone(),
            log.partitions(),
            self.config.readiness.clone(),
            side_tasks.shutdown(),
        );
        side_tasks.spawn("watching halted partitions", halts);
        side_tasks.spawn("renewal of partition leases", async move {
            lease.keep_renewed(books, stop_renewing).await;
        });
        side_tasks.spawn("measuring of the lag", async move {
            done.keep_measured(&*log, stop_measuring).await;
        });
        let ended = self.sessions(&shutdown).await;
        if let Err(error) = side_tasks.stop().await {
            tracing::error!(error = %Chain(&error), "a task of the processor did not end well");
        }
        if let Err(error) = self.workshop.books.leave(self.workshop.node).await {
            tracing::warn!(
                error = %Chain(&error),
                "partitions were not released; others take them when the lease has run out"
            );
        }
        ended
    }

    async fn sessions(&self, shutdown: &Shutdown) -> Result<(), Fatal> {
        let mut pause = PAUSE_FIRST;
        loop {
            let started = Instant::now();
            match Session::new(&self.workshop, &self.log, &self.config).run(shutdown).await {
                Interrupted::Stopping => return Ok(()),
                Interrupted::Store(error @ StoreError::Fatal { .. }) => return Err(Fatal(error)),
                Interrupted::Trouble(Trouble { partition, cause: Cause::Halts(reason) }) => {
                    // Its batch is begun again without it. If this fails, the next session meets the same.
                    if let Err(error) = self.workshop.books.halt(self.workshop.node, partition, &reason).await
                    {
                        tracing::warn!(error = %Chain(&error), partition, reason, "a partition was not halted");
                    }
                }
                interrupted @ (Interrupted::Store(StoreError::Retry { .. } | StoreError::Reject { .. })
                | Interrupted::NotOwner
                | Interrupted::Trouble(_)
                | Interrupted::Lapsed
                | Interrupted::Broke(_)) => {
                    if started.elapsed() > PAUSE_LAST {
                        pause = PAUSE_FIRST;
                    }
                    tracing::warn!(
                        error = %Chain(&interrupted), pause_ms = pause.as_millis(),
                        "processing begins again from the cursors"
                    );
                }
            }
            // The next session takes the partitions under a new epoch, reads their cursors, and reads back.
            if let Err(error) = self.workshop.books.keep_only(self.workshop.node, &[]).await {
                tracing::warn!(error = %Chain(&error), "partitions were not released; they are when Postgres is back");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                () = shutdown.ordered() => return Ok(()),
            }
        }
    }
}
