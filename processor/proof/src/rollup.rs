//! Roll-ups: counts by tenant, project, name and hour, computed again whenever the hour's rows have changed. Derived,
//! rebuildable, and never money: usage is.
//!
//! The books know which hours have changed: `usage_hour` and `erased_hour` only grow, and each computed hour keeps
//! their sums as they were just before, so a crash between computing and noting it computes it once more. Recent hours
//! are compared each minute, all of them once a day. An erasure marks its hours, so that old ones follow it too.
//!
//! A computed hour takes the place of the one before as a whole: names that are no longer there get a row of nothing,
//! and the higher version counts.

use std::time::{Duration, Instant};

use clickhouse::Client;
use schemas::lock::ROLLUP_TURN;
use schemas::time::Micros;
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Connection, PgPool};

use crate::db::rollup_hour::{self, Stale};
use crate::db::{erasure, events_hourly, usage_hour};
use crate::turn::{Turn, connection};

/// How often to look for hours that have changed.
const EVERY: Duration = Duration::from_secs(60);
/// An hour is computed when it has been over for so long: until then most of it would be computed in vain.
const CLOSED_AFTER: i64 = 5 * 60 * Micros::SECOND;
/// How far back each look goes, and how often one goes back to the beginning.
const RECENT: i64 = 72 * Micros::HOUR;
const WHOLE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The beginning is reached in steps of this, so that no statement takes long.
const WINDOW: i64 = 31 * 24 * Micros::HOUR;

/// Keeps `events_hourly`. Any number of processes may have one.
pub struct Roller {
    pool: PgPool,
    clickhouse: Client,
    clock: Clock,
}

impl Roller {
    /// A roller.
    #[must_use]
    pub fn new(pool: PgPool, clickhouse: Client, clock: Clock) -> Self {
        Self { pool, clickhouse, clock }
    }

    /// Computes until `shutdown` is ordered.
    pub async fn run(self, shutdown: Shutdown) {
        let mut whole_at: Option<Instant> = None;
        let mut rounds = every("roll-up", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            let round = async {
                let is_whole = whole_at.is_none_or(|at| at.elapsed() > WHOLE_EVERY);
                self.turn(is_whole).await?;
                if is_whole {
                    whole_at = Some(Instant::now());
                }
                Ok::<_, StoreError>(())
            };
            rounds.attempt(round).await;
        }
    }

    /// Computes the hours that are marked or have changed, of the last days or of all time, unless another process
    /// does. How many.
    ///
    /// # Errors
    /// [`StoreError`]: to be tried again.
    pub async fn turn(&self, is_whole: bool) -> Result<usize, StoreError> {
        let Some(turn) = Turn::take(&self.pool, ROLLUP_TURN).await? else { return Ok(0) };
        let open = Micros(self.clock.now_micros().saturating_sub(CLOSED_AFTER)).hour();
        let mut from = open.0.saturating_sub(RECENT);
        if is_whole {
            let oldest = usage_hour::oldest(&self.pool).await?;
            from = oldest.map_or(from, |oldest| oldest.0.min(from));
        }
        // The newest first: these are looked at most.
        let (mut computed, mut to) = (0, open.0);
        while from < to {
            let begin = to.saturating_sub(WINDOW).max(from);
            for hour in self.stale(Micros(begin), Micros(to)).await? {
                self.compute(hour).await?;
                computed += 1;
            }
            to = begin;
        }
        turn.end().await?;
        Ok(computed)
    }

    /// Hours of `[from, to)` that have changed, and those before that are marked. Rows of a round of erasures that is
    /// being deleted may be there or not, so all hours wait for its end.
    async fn stale(&self, from: Micros, to: Micros) -> Result<Vec<Stale>, StoreError> {
        let mut connection = connection(&self.pool).await?;
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if erasure::counted(&mut *tx).await?.is_some() {
            return Ok(Vec::new());
        }
        let stale = rollup_hour::stale(&mut *tx, from, to).await?;
        tx.commit().await?;
        Ok(stale)
    }

    async fn compute(&self, stale: Stale) -> Result<(), StoreError> {
        let version = rollup_hour::next_version(&self.pool).await?;
        let hour = Micros(stale.hour.timestamp_micros());
        events_hourly::compute(&self.clickhouse, hour, version).await?;
        rollup_hour::note(&self.pool, stale, version).await?;
        Ok(())
    }
}

/// Has all hours in `[from, to)` computed again by the next look: how many that are.
///
/// # Errors
/// If Postgres fails.
pub async fn rebuild(pool: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    rollup_hour::mark(pool, from, to).await
}
