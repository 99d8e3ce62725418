//! Sealing: what was stored of each tenant's closed hours, as signed roots that nobody can change afterwards
//! (docs/adr/0035).
//!
//! # Path of an hour
//! ```text
//!     0 closed    every cursor has passed where the log ended some minutes after the hour
//!     1 due       usage has more events of the hour than its seals: most often all of them
//!     2 leaves    its events come from ClickHouse in the order of the tree, erased ones as their hashes; each row's
//!                 contents are hashed again
//!     3 compare   as many as usage has, none altered, none twice: or nothing is sealed
//!     4 seal      root, number, the hash of the tenant's seal before; signed, and written in one transaction
//! ```
//!
//! # What holds
//! * Only what usage, rows and their hashes agree on is sealed. What does not agree is said, and tried again.
//! * A seal is never changed. Events that come late, out of a spool or of a dead letter, get a further seal of the same
//!   hour: which events are whose is decided by where they stand in the log.
//! * Memory is that of a path through a tree for each tenant and period in turn, whatever an hour has.

mod closed;
mod hour;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::Client;
use eventlog::EventLog;
use evidence::SigningKey;
use schemas::lock::SEALER_TURN;
use schemas::time::Micros;
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use service::trace::Span as Traced;
use sqlx::{Connection, PgPool};

use crate::books::Span;
use crate::db::hour_seal::{self, Due};
use crate::db::{erasure, evidence_key, partition_cursor, usage_hour};
use crate::turn::{Turn, connection};
use closed::Closed;

/// How often to look for hours that have closed.
const EVERY: Duration = Duration::from_secs(60);
/// How far back each look goes, and how often one goes back to the beginning.
const RECENT: i64 = 72 * Micros::HOUR;
const WHOLE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The beginning is reached in steps of this, so that no statement takes long.
const WINDOW: i64 = 31 * 24 * Micros::HOUR;
/// Tenants, hours and periods that are sealed in one transaction.
const DUE_MAX: i64 = 500;

/// Seals closed hours. Any number of processes may have one.
pub struct Sealer {
    pool: PgPool,
    clickhouse: Client,
    log: Arc<dyn EventLog>,
    clock: Clock,
    key: Arc<SigningKey>,
}

impl Sealer {
    /// A sealer. `log` must be the one that the database is bound to.
    #[must_use]
    pub fn new(
        pool: PgPool,
        clickhouse: Client,
        log: Arc<dyn EventLog>,
        clock: Clock,
        key: Arc<SigningKey>,
    ) -> Self {
        Self { pool, clickhouse, log, clock, key }
    }

    /// Seals until `shutdown` is ordered.
    pub async fn run(self, shutdown: Shutdown) {
        let mut closed = Closed::default();
        let mut whole_at: Option<Instant> = None;
        let mut rounds = every("sealing", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            let round = async {
                let Some(before) = closed.look(&self.pool, &*self.log, &self.clock).await? else {
                    return Ok(());
                };
                let is_whole = whole_at.is_none_or(|at| at.elapsed() > WHOLE_EVERY);
                self.turn(before, is_whole).await?;
                if is_whole {
                    whole_at = Some(Instant::now());
                }
                Ok::<_, StoreError>(())
            };
            rounds.attempt(round).await;
        }
    }

    /// Seals what is not sealed of the hours before `closed`, of the last days or of all time, unless another process
    /// does. How many seals were made.
    ///
    /// # Errors
    /// [`StoreError`]: to be tried again.
    pub async fn turn(&self, closed: Micros, is_whole: bool) -> Result<usize, StoreError> {
        let Some(turn) = Turn::take(&self.pool, SEALER_TURN).await? else { return Ok(0) };
        let mut from = closed.0.saturating_sub(RECENT);
        if is_whole {
            let oldest = usage_hour::oldest(&self.pool).await?;
            from = oldest.map_or(from, |oldest| oldest.0.min(from));
        }
        let mut sealed = 0;
        while from < closed.0 {
            let to = from.saturating_add(WINDOW).min(closed.0);
            sealed += self.window((Micros(from), Micros(to))).await?;
            from = to;
        }
        turn.end().await?;
        Ok(sealed)
    }

    async fn window(&self, hours: (Micros, Micros)) -> Result<usize, StoreError> {
        let mut sealed = 0;
        let mut after: Option<Span> = None;
        loop {
            let Some((ends, due)) = self.due(hours, after).await? else { return Ok(sealed) };
            let Some(last) = due.last() else { return Ok(sealed) };
            after = Some(last.span);
            let mut span = Traced::job("seal");
            evidence_key::note(&self.pool, self.key.public()).await?;
            for due in due.chunk_by(|a, b| a.span.hour == b.span.hour) {
                sealed += hour::seal(self, due, &ends).await?;
            }
            span.set("weir.seals", || sealed);
        }
    }

    /// The cursors, and what was not sealed when they stood there. Rows of a round of erasures that is being deleted
    /// may be there or not, and only those of retention leave nothing: all hours wait for its end.
    async fn due(
        &self,
        hours: (Micros, Micros),
        after: Option<Span>,
    ) -> Result<Option<(Vec<u64>, Vec<Due>)>, StoreError> {
        let mut connection = connection(&self.pool).await?;
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if erasure::counted(&mut *tx).await?.is_some_and(|round| round.is_retention()) {
            return Ok(None);
        }
        let ends = partition_cursor::all(&mut *tx).await?.into_values().collect();
        let due = hour_seal::due(&mut *tx, hours, after, DUE_MAX).await?;
        tx.commit().await?;
        Ok(Some((ends, due)))
    }
}
