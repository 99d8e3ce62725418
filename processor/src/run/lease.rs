//! Whether this processor may still take itself for the owner of what it owns.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::stores::{Books, StoreError};

/// The lease on everything that one processor owns, as this process knows it. Renewed beside the loop, which may wait
/// for ClickHouse for longer than a lease lasts.
#[derive(Debug)]
pub(super) struct Lease {
    node: Uuid,
    time: Duration,
    /// When the last renewal that Postgres confirmed was asked for: the lease began later, so it ends later too.
    renewed_at: Mutex<Option<Instant>>,
}

impl Lease {
    pub(super) fn new(node: Uuid, time: Duration) -> Self {
        Self { node, time, renewed_at: Mutex::new(None) }
    }

    /// Whether nobody else can have taken what this processor owns. A process that slept knows it here: the clock is
    /// one that goes on meanwhile.
    pub(super) fn holds(&self) -> bool {
        self.renewed_at.lock().is_some_and(|at| at.elapsed() < self.time)
    }

    pub(super) async fn renew(&self, books: &impl Books) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        books.renew(self.node, self.time).await?;
        *self.renewed_at.lock() = Some(asked_at);
        Ok(())
    }

    pub(super) async fn renew_for_ever(&self, books: impl Books) {
        loop {
            if let Err(error) = self.renew(&books).await {
                tracing::warn!(%error, "partition leases were not renewed");
            }
            tokio::time::sleep(self.time / 3).await;
        }
    }
}
