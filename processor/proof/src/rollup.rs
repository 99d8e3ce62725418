//! Roll-ups: counts by tenant, project, name and hour, computed again whenever the hour's rows have changed. Derived,
//! rebuildable, and never money: usage is.
//!
//! The books know which hours have changed: `usage_hour` and `erased_hour` only grow, and each computed hour keeps their
//! sums as they were just before, so a crash between computing and noting it computes it once more. Recent hours are
//! compared each minute, all of them once a day. An erasure marks its hours, so that old ones follow it too.
//!
//! A computed hour takes the place of the one before as a whole: names that are no longer there get a row of nothing, and
//! the higher version counts.

use std::time::{Duration, Instant};

use clickhouse::Client;
use schemas::lock::ROLLUP_TURN;
use schemas::time::Micros;
use service::clock::Clock;
use service::shutdown::Shutdown;
use service::task::{Pace, every};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};

use crate::error::EraseError;
use crate::round::{counted, timestamp};
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

/// Marks hours of `changed`. The new version keeps out whoever computes one of them from what was before.
macro_rules! mark {
    () => {
        " INSERT INTO rollup_hour AS r (hour, stored, erased, version)
          SELECT hour, -1, -1, nextval('rollup_version') FROM changed
          ON CONFLICT (hour) DO UPDATE SET stored = -1, erased = -1, version = excluded.version"
    };
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
        let mut whole_at: Option<Instant> = None;
        let mut rounds = every("roll-up", Pace::at_once(EVERY), shutdown);
        while rounds.due().await {
            let round = async {
                let is_whole = whole_at.is_none_or(|at| at.elapsed() > WHOLE_EVERY);
                self.turn(is_whole).await?;
                if is_whole {
                    whole_at = Some(Instant::now());
                }
                Ok::<_, EraseError>(())
            };
            rounds.attempt(round).await;
        }
    }

    /// Computes the hours that are marked or have changed, of the last days or of all time, unless another process does.
    /// How many.
    ///
    /// # Errors
    /// [`EraseError`]: to be tried again.
    pub async fn turn(&self, is_whole: bool) -> Result<usize, EraseError> {
        let Some(turn) = Turn::take(&self.pool, ROLLUP_TURN).await? else { return Ok(0) };
        let open = Micros(self.clock.now_micros().saturating_sub(CLOSED_AFTER)).hour();
        let mut from = open.0.saturating_sub(RECENT);
        if is_whole {
            let oldest: Option<DateTime<Utc>> =
                sqlx::query_scalar("SELECT min(hour) FROM usage_hour").fetch_one(&self.pool).await?;
            from = oldest.map_or(from, |oldest| oldest.timestamp_micros().min(from));
        }
        let mut computed = 0;
        while from < open.0 {
            let to = from.saturating_add(WINDOW).min(open.0);
            for hour in self.stale(Micros(from), Micros(to)).await? {
                self.compute(hour).await?;
                computed += 1;
            }
            from = to;
        }
        turn.end().await?;
        Ok(computed)
    }

    /// Hours of `[from, to)` that have changed, and those before that are marked. Rows of a round of erasures that is being
    /// deleted may be there or not, so all hours wait for its end.
    async fn stale(&self, from: Micros, to: Micros) -> Result<Vec<Stale>, EraseError> {
        let mut connection = connection(&self.pool).await?;
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if counted(&mut tx).await?.is_some() {
            return Ok(Vec::new());
        }
        let stale = sqlx::query_as(
            "WITH looked AS (
                 SELECT hour, sum(stored)::bigint AS stored FROM (
                     SELECT hour, stored FROM usage_hour WHERE hour >= $1 AND hour < $2
                     UNION ALL
                     SELECT u.hour, u.stored FROM rollup_hour r JOIN usage_hour u USING (hour)
                     WHERE r.stored < 0 AND r.hour < $1) AS counted
                 GROUP BY hour),
             erased AS (
                 SELECT hour, sum(rows)::bigint AS rows FROM erased_hour
                 WHERE hour IN (SELECT hour FROM looked) GROUP BY hour)
             SELECT l.hour, l.stored, coalesce(e.rows, 0)
             FROM looked l LEFT JOIN erased e USING (hour) LEFT JOIN rollup_hour r USING (hour)
             WHERE (l.stored, coalesce(e.rows, 0)) IS DISTINCT FROM (r.stored, r.erased)
             ORDER BY l.hour DESC",
        )
        .bind(timestamp(from))
        .bind(timestamp(to))
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
    let marked = sqlx::query(concat!(
        "WITH changed AS (SELECT DISTINCT hour FROM usage_hour WHERE hour >= $1 AND hour < $2)",
        mark!()
    ))
    .bind(from)
    .bind(to)
    .execute(pool)
    .await?;
    Ok(marked.rows_affected())
}

/// The same for the hours of a round of erasures, in the transaction that ends it.
pub(crate) async fn follow(tx: &mut PgConnection, round: i64) -> Result<(), sqlx::Error> {
    sqlx::query(concat!("WITH changed AS (SELECT DISTINCT hour FROM erased_hour WHERE round = $1)", mark!()))
        .bind(round)
        .execute(tx)
        .await?;
    Ok(())
}
