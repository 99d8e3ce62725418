//! Roll-ups: counts by tenant, project, name and hour, computed again whenever the hour's rows have changed. Derived,
//! rebuildable, and never money: usage is.
//!
//! The books know which hours have changed: `usage_hour` and `erased_hour` only grow, and each computed hour keeps their
//! sums as they were just before. So a late event, a replayed dead letter and an erasure all make their hour stale, with
//! nothing to be marked, and a crash between computing and noting it computes it once more.
//!
//! A computed hour takes the place of the one before as a whole: names that are no longer there get a row of nothing, and
//! the higher version counts.

use std::time::Duration;

use clickhouse::Client;
use schemas::time::Micros;
use service::clock::Clock;
use service::shutdown::Shutdown;
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};

use crate::erase::{EraseError, Turn, counted, timestamp};

/// How often to look for hours that have changed.
const EVERY: Duration = Duration::from_secs(60);
/// An hour is computed when it has been over for so long: until then most of it would be computed in vain.
const CLOSED_AFTER: i64 = 5 * 60 * Micros::SECOND;
/// Hours of one look, the newest first.
const HOURS_MAX: i64 = 240;
/// Of Postgres's advisory locks: held by the process at work.
const TURN: i64 = 0x77_65_69_72_03;

/// Keeps `events_hourly`. Any number of processes may have one.
pub struct Roller {
    pool: PgPool,
    clickhouse: Client,
    clock: Clock,
}

/// An hour that has changed, with its sums in the books.
type Stale = (DateTime<Utc>, i64, i64);

impl Roller {
    /// A roller.
    #[must_use]
    pub fn new(pool: PgPool, clickhouse: Client, clock: Clock) -> Self {
        Self { pool, clickhouse, clock }
    }

    /// Computes until `shutdown` is ordered.
    pub async fn run(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                turned = self.turn() => if let Err(error) = turned {
                    tracing::warn!(%error, "an hour was not computed, trying again");
                },
                () = shutdown.ordered() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.ordered() => return,
            }
        }
    }

    /// Computes the hours that have changed, unless another process does. How many.
    ///
    /// # Errors
    /// [`EraseError`]: to be tried again.
    pub async fn turn(&self) -> Result<usize, EraseError> {
        let Some(turn) = Turn::take(&self.pool, TURN).await? else { return Ok(0) };
        let stale = self.stale().await?;
        for hour in &stale {
            self.compute(*hour).await?;
        }
        turn.end().await?;
        Ok(stale.len())
    }

    /// Rows of a round of erasures that is being deleted may be there or not, so all hours wait for its end.
    async fn stale(&self) -> Result<Vec<Stale>, EraseError> {
        let mut tx = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if counted(&mut tx).await?.is_some() {
            return Ok(Vec::new());
        }
        let open = Micros(self.clock.now_micros().saturating_sub(CLOSED_AFTER)).hour();
        let stale = sqlx::query_as(
            "SELECT u.hour, u.stored, coalesce(e.rows, 0) FROM
                 (SELECT hour, sum(stored)::bigint AS stored FROM usage_hour WHERE hour < $1 GROUP BY hour) u
             LEFT JOIN (SELECT hour, sum(rows)::bigint AS rows FROM erased_hour GROUP BY hour) e USING (hour)
             LEFT JOIN rollup_hour r USING (hour)
             WHERE (u.stored, coalesce(e.rows, 0)) IS DISTINCT FROM (r.stored, r.erased)
             ORDER BY hour DESC LIMIT $2",
        )
        .bind(timestamp(open))
        .bind(HOURS_MAX)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(stale)
    }

    async fn compute(&self, (hour, stored, erased): Stale) -> Result<(), EraseError> {
        let version: i64 =
            sqlx::query_scalar("SELECT nextval('rollup_version')").fetch_one(&self.pool).await?;
        let second = hour.timestamp();
        self.clickhouse
            .query(&format!(
                "INSERT INTO events_hourly (tenant_id, project_id, event, hour, events, users, version)
                 SELECT tenant_id, project_id, event, toDateTime({second}, 'UTC'), sum(counted), uniqIfMergeState(seen), {version}
                 FROM (
                     SELECT tenant_id, project_id, event, count() AS counted, uniqIfState(user_id, toUInt8(user_id != '')) AS seen
                     FROM events
                     WHERE received_at >= fromUnixTimestamp64Micro(toInt64({from})) AND received_at < fromUnixTimestamp64Micro(toInt64({to}))
                     GROUP BY tenant_id, project_id, event
                     UNION ALL
                     SELECT tenant_id, project_id, event, toUInt64(0) AS counted, uniqIfState('', toUInt8(0)) AS seen
                     FROM events_hourly WHERE hour = toDateTime({second}, 'UTC')
                     GROUP BY tenant_id, project_id, event)
                 GROUP BY tenant_id, project_id, event",
                from = hour.timestamp_micros(),
                to = hour.timestamp_micros().saturating_add(Micros::HOUR),
            ))
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "0")
            .with_setting("wait_end_of_query", "1")
            .execute()
            .await?;
        sqlx::query(
            "INSERT INTO rollup_hour AS r (hour, stored, erased, version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (hour) DO UPDATE
             SET stored = excluded.stored, erased = excluded.erased, version = excluded.version
             WHERE r.version < excluded.version",
        )
        .bind(hour)
        .bind(stored)
        .bind(erased)
        .bind(version)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Has all hours in `[from, to)` computed anew by the next look: how many that are.
///
/// # Errors
/// If Postgres fails.
pub async fn rebuild(pool: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query("DELETE FROM rollup_hour WHERE hour >= $1 AND hour < $2")
        .bind(from)
        .bind(to)
        .execute(pool)
        .await?;
    Ok(forgotten.rows_affected())
}
