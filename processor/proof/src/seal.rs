//! Sealing: what was stored of each tenant's closed hours, as signed roots that nobody can change afterwards
//! (docs/adr/0035).
//!
//! # Path of an hour
//! ```text
//!     0 closed    every cursor has passed where the log ended some minutes after the hour
//!     1 due       usage has more events of the hour than its seals: most often all of them
//!     2 leaves    its events come from ClickHouse in the order of the tree, erased ones as their hashes; each row's
//!                 contents are hashed again
//!     3 compare   the ledger's ranges agree with their rows (reconciliation); as many events as usage has, none
//!                 altered, none twice: or nothing is sealed
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

use crate::db::hour_seal::{self, Due};
use crate::db::{erasure, evidence_key, mismatched_range, partition_cursor, reconciled_partition};
use crate::reconcile;
use crate::turn::{Turn, connection};
use closed::Closed;

/// How often to look for hours that have closed.
const EVERY: Duration = Duration::from_secs(60);
/// How far back events that come late are looked for, and how often: since the last look, of the last days, of all
/// time.
const RECENT: i64 = 72 * Micros::HOUR;
const RECENT_EVERY: Duration = Duration::from_secs(15 * 60);
const WHOLE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Tenants and periods that are sealed in one transaction.
const SPANS_MAX: usize = 500;
/// With which part of the older ranges a comparison of rows and ledger goes on, if sealing asks for one.
const RECONCILED_EVERY: Duration = Duration::from_secs(3600);

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
        // All hours before are sealed, except what comes late.
        let mut sealed_to: Option<Micros> = None;
        let mut recent_at = Instant::now();
        let mut whole_at: Option<Instant> = None;
        let mut rounds = every("sealing", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            let round = async {
                let Some(before) = closed.look(&self.pool, &*self.log, &self.clock).await? else {
                    return Ok(());
                };
                // What has just closed comes first, whatever stands in the way further back.
                let recent = Micros(before.0.saturating_sub(RECENT));
                let is_recent = sealed_to.is_none() || recent_at.elapsed() > RECENT_EVERY;
                let from = sealed_to.filter(|_| !is_recent).unwrap_or(recent);
                if self.turn((from, before)).await?.is_some() {
                    sealed_to = Some(before);
                    if is_recent {
                        recent_at = Instant::now();
                    }
                }
                if whole_at.is_none_or(|at| at.elapsed() > WHOLE_EVERY)
                    && self.turn((Micros(0), recent)).await?.is_some()
                {
                    whole_at = Some(Instant::now());
                }
                Ok::<_, StoreError>(())
            };
            rounds.attempt(round).await;
        }
    }

    /// Seals what is not sealed of the hours `[from, to)`, all of which must have closed. How many seals were made;
    /// `None` if another process is at it, or something has to come first: rows that do not agree with the ledger, or a
    /// retention that is being carried out.
    ///
    /// # Errors
    /// [`StoreError`]: to be tried again.
    pub async fn turn(&self, (from, to): (Micros, Micros)) -> Result<Option<usize>, StoreError> {
        let Some(turn) = Turn::take(&self.pool, SEALER_TURN).await? else { return Ok(None) };
        let sealed = self.hours((from, to)).await?;
        turn.end().await?;
        Ok(sealed)
    }

    async fn hours(&self, (mut from, to): (Micros, Micros)) -> Result<Option<usize>, StoreError> {
        let mut sealed = 0;
        while let Some(hour) = hour_seal::next_hour(&self.pool, (from, to)).await? {
            from = Micros(hour.0.saturating_add(Micros::HOUR));
            let Some((ends, due)) = self.due(hour).await? else { return Ok(None) };
            if due.is_empty() {
                continue;
            }
            if !self.agree_up_to(&ends).await? {
                tracing::warn!("no hour is sealed: rows do not agree with the ledger, or are being compared");
                return Ok(None);
            }
            let mut span = Traced::job("seal");
            evidence_key::note(&self.pool, self.key.public()).await?;
            for due in due.chunks(SPANS_MAX) {
                sealed += hour::seal(self, due, &ends).await?;
            }
            span.set("weir.seals", || sealed);
        }
        Ok(Some(sealed))
    }

    /// The cursors, and what was not sealed of the hour when they stood there; `None` while rows are deleted for their
    /// age, which may be there or not and leave nothing.
    async fn due(&self, hour: Micros) -> Result<Option<(Vec<u64>, Vec<Due>)>, StoreError> {
        let mut connection = connection(&self.pool).await?;
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if erasure::counted(&mut *tx).await?.is_some_and(|round| round.is_retention()) {
            return Ok(None);
        }
        let ends = partition_cursor::all(&mut *tx).await?.into_values().collect();
        let due = hour_seal::due(&mut *tx, hour).await?;
        tx.commit().await?;
        Ok(Some((ends, due)))
    }

    /// Whether all rows before these ends were compared with the ledger, and agree: what is signed is what was judged.
    async fn agree_up_to(&self, ends: &[u64]) -> Result<bool, StoreError> {
        let is_compared = async || {
            let compared = reconciled_partition::all(&self.pool).await?;
            let is_past = |(partition, end): (i32, &u64)| {
                compared.iter().any(|(of, to, _)| *of == partition && to.unsigned_abs() >= *end)
            };
            Ok::<_, StoreError>((0..).zip(ends).all(is_past))
        };
        if !is_compared().await? {
            reconcile::round(&self.pool, &self.clickhouse, RECONCILED_EVERY).await?;
        }
        Ok(is_compared().await? && mismatched_range::count(&self.pool).await? == 0)
    }
}
