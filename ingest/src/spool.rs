//! The node's spool: drained, measured, and its ended nodes released, for as long as the node runs.

use std::sync::Arc;
use std::time::Duration;

use eventlog::metrics::{SPOOL_AGE_SECONDS, SPOOL_BYTES, SPOOL_RECORDS, SPOOLING};
use eventlog::spool::{ChargeCopies, Spool};
use metering::spool::{Copies, ended, release, stopped};
use service::clock::Clock;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::{POSTGRES, StoreError, in_time};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::lease::Leases;

/// How often to look for nodes that have ended, and to measure.
const EVERY: Duration = Duration::from_secs(1);
/// How long Postgres may take over one statement.
const STORE_DEADLINE: Duration = Duration::from_secs(3);
/// How long to wait for the spool to be drained before it is asked again which nodes have ended.
const DRAIN_WAIT: Duration = Duration::from_secs(600);
/// What a stop leaves for the spool at least, to find out that it is empty.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Keeps a spool.
pub struct SpoolKeeper {
    /// The spool.
    pub spool: Arc<Spool>,
    /// Where the books are.
    pub pool: PgPool,
    /// What the node has leased.
    pub leases: Arc<Leases>,
    /// What time it is.
    pub clock: Clock,
    /// Whether the database is bound to the log.
    pub bound: watch::Receiver<bool>,
    /// From the order to stop until the rest stays for the next start.
    pub drain_deadline: Duration,
}

impl SpoolKeeper {
    /// Runs until `ended` is ordered, after the node's last request and its last word with Postgres, and from then on
    /// until the spool is drained or the time since `shutdown` is used up.
    pub async fn run(self, shutdown: Shutdown, ended: Shutdown) {
        let charge = self.charge();
        tokio::select! {
            () = self.spool.drain(&charge) => {}
            () = self.measure() => {}
            () = self.until_stopped(&shutdown, &ended) => {}
        }
    }

    async fn until_stopped(&self, shutdown: &Shutdown, ended: &Shutdown) {
        tokio::select! {
            () = self.release_ended() => {}
            () = shutdown.ordered() => {}
        }
        let until = Instant::now() + self.drain_deadline;
        ended.ordered().await;
        let left = until.saturating_duration_since(Instant::now()).max(LAST_LOOK);
        if self.spool.drained_by(left).await {
            if let Err(error) = self.release_stopped().await {
                tracing::warn!(error = %Chain(&error), "ended nodes of the spool are released after the next start");
            }
            return;
        }
        let status = self.spool.status();
        tracing::warn!(
            records = status.records,
            bytes = status.bytes,
            "the spool is not drained: start this node again on the same WEIR_DATA_DIR when the log is back"
        );
    }

    /// Charges copies, once the database is known to be the log's. The earlier copy may not be in the log, and a charge
    /// without an answer is made again.
    fn charge(&self) -> ChargeCopies {
        let (pool, leases, bound) = (self.pool.clone(), Arc::clone(&self.leases), self.bound.clone());
        Box::new(move |frames| {
            let (pool, mut bound) = (pool.clone(), bound.clone());
            leases.doubt();
            Box::pin(async move {
                bound.wait_for(|bound| *bound).await.map_err(|error| StoreError::retry(POSTGRES, error))?;
                let copies = Copies::of(frames.iter().map(|frame| &frame[..]));
                in_time(POSTGRES, STORE_DEADLINE, copies.charge(&pool)).await
            })
        })
    }

    async fn release_ended(&self) {
        let mut bound = self.bound.clone();
        if bound.wait_for(|bound| *bound).await.is_err() {
            return std::future::pending().await;
        }
        loop {
            match self.release_once(DRAIN_WAIT).await {
                Ok(0) => {}
                Ok(nodes) => tracing::info!(nodes, "the spool is drained of what ended nodes had put there"),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "ended nodes of the spool were not released, trying again")
                }
            }
            sleep(EVERY).await;
        }
    }

    /// The three steps of [`metering::spool`]. How many nodes were released.
    async fn release_once(&self, drain_wait: Duration) -> Result<u64, StoreError> {
        let until = Instant::now() + drain_wait;
        let found = in_time(POSTGRES, STORE_DEADLINE, ended(&self.pool, self.spool.id())).await?;
        let left = until.saturating_duration_since(Instant::now());
        if found.is_empty() || !self.spool.drained_by(left).await {
            return Ok(0);
        }
        in_time(POSTGRES, STORE_DEADLINE, release(&self.pool, &found)).await
    }

    /// This node has ended as well, and the spool is drained.
    async fn release_stopped(&self) -> Result<(), StoreError> {
        let found = in_time(POSTGRES, STORE_DEADLINE, stopped(&self.pool, self.spool.id())).await?;
        in_time(POSTGRES, STORE_DEADLINE, release(&self.pool, &found)).await?;
        Ok(())
    }

    async fn measure(&self) {
        loop {
            let status = self.spool.status();
            let now_ms = self.clock.now_micros() / 1000;
            let age_ms = status.oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms).max(0));
            ::metrics::gauge!(SPOOLING).set(if status.spooling { 1.0 } else { 0.0 });
            ::metrics::gauge!(SPOOL_BYTES).set(status.bytes as f64);
            ::metrics::gauge!(SPOOL_RECORDS).set(status.records as f64);
            ::metrics::gauge!(SPOOL_AGE_SECONDS)
                .set(Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64());
            sleep(EVERY).await;
        }
    }
}
