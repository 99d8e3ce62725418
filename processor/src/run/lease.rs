//! Whether this processor may still take itself for the owner of what it owns.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use tokio::time::Instant;
use uuid::Uuid;

use super::rest::Rest;
use crate::stores::Books;

/// The lease on everything that one processor owns, as this process knows it. Renewed by a task of its own, since the
/// loop may wait for ClickHouse for longer than a lease lasts.
#[derive(Debug)]
pub(super) struct Lease {
    node: Uuid,
    time: Duration,
    /// Hears of Postgres's time.
    clock: Clock,
    /// Whether the processor has a share.
    rest: Arc<Rest>,
    term: Mutex<Term>,
}

/// What is known of the lease in this session.
#[derive(Debug, Default)]
struct Term {
    /// When the last renewal that Postgres confirmed was asked for: the lease began later, so it ends later too.
    renewed_at: Option<Instant>,
    /// A renewal came too late: others may have taken what this processor takes for its own.
    has_lapsed: bool,
}

impl Lease {
    pub(super) fn new(node: Uuid, time: Duration, clock: Clock, rest: Arc<Rest>) -> Self {
        Self { node, time, clock, rest, term: Mutex::default() }
    }

    /// A session begins, which owns nothing yet.
    pub(super) fn begin(&self) {
        *self.term.lock() = Term::default();
    }

    /// Whether nobody else can have taken what this processor owns. A process that was stopped knows it here: the clock
    /// goes on meanwhile. One whose machine was suspended does not.
    pub(super) fn holds(&self) -> bool {
        let term = self.term.lock();
        !term.has_lapsed && term.renewed_at.is_some_and(|at| at.elapsed() < self.time)
    }

    /// Whether the lease has once run out before it was renewed. A renewal does not bring back what others have taken,
    /// nor does it say what that is: the session must end.
    pub(super) fn has_lapsed(&self) -> bool {
        self.term.lock().has_lapsed
    }

    pub(super) async fn renew(&self, books: &impl Books) -> Result<(), StoreError> {
        let (asked, asked_at) = (self.clock.asks(), Instant::now());
        let now = books.renew(self.node, self.time, self.rest.has_share(self.time)).await?;
        self.clock.hears(asked, now.0);
        let mut term = self.term.lock();
        term.has_lapsed |= term.renewed_at.is_some_and(|at| at.elapsed() >= self.time);
        term.renewed_at = Some(asked_at);
        Ok(())
    }

    pub(super) async fn keep_renewed(&self, books: impl Books, shutdown: Shutdown) {
        let mut rounds = every("renewal of partition leases", Pace::at_once(self.time / 3), shutdown);
        while rounds.due().await {
            rounds.attempt(self.renew(&books)).await;
        }
    }
}
