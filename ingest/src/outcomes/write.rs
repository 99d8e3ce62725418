use std::sync::Arc;
use std::time::{Duration, Instant};

use metering::outcomes::{self, Row};
use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;
use service::clock::Clock;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::{POSTGRES, in_time};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::Outcomes;
use super::counts::Taken;
use crate::metrics;

/// How often counts are written: what a tenant sees is as old as this, and what a killed process loses.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// How long Postgres may take over one statement.
const WRITE_DEADLINE: Duration = Duration::from_secs(3);
/// Rows in one statement.
const STATEMENT_ROWS_MAX: usize = 5_000;

/// Writes the counts every few seconds, from when the database is `bound` to the log until `shutdown` is ordered, and
/// a last time then. What could not be written is written later.
pub async fn keep_written(
    counts: Arc<Outcomes>,
    pool: PgPool,
    clock: Clock,
    bound: watch::Receiver<bool>,
    shutdown: Shutdown,
) {
    let mut writer = Writer { counts, pool, run: Uuid::now_v7(), written_at: Instant::now(), failed: false };
    let mut tick = interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shutdown.is_ordered() {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.ordered() => {}
        }
        if *bound.borrow() {
            writer.round().await;
        }
        writer.counts.close(Micros(clock.read().held()));
        writer.report();
    }
    let unwritten = writer.counts.take().len();
    if unwritten > 0 {
        tracing::warn!(rows = unwritten, "outcomes that tenants would have been shown were not written");
    }
}

struct Writer {
    counts: Arc<Outcomes>,
    pool: PgPool,
    /// Of this process, from its start to its end.
    run: Uuid,
    /// When all counts were last in Postgres.
    written_at: Instant,
    failed: bool,
}

impl Writer {
    async fn round(&mut self) {
        let taken = self.counts.take();
        for (done, rows) in taken.chunks(STATEMENT_ROWS_MAX).enumerate() {
            let rows: Vec<Row> = rows.iter().filter_map(Taken::row).collect();
            let written = outcomes::write(&self.pool, self.run, &rows);
            let Err(error) = in_time(POSTGRES, WRITE_DEADLINE, written).await else { continue };
            self.counts.put_back(&taken[done * STATEMENT_ROWS_MAX..]);
            ::metrics::counter!(metrics::OUTCOME_ROUNDS, "result" => "failed").increment(1);
            if !std::mem::replace(&mut self.failed, true) {
                tracing::warn!(error = %Chain(&error), "outcomes were not written, trying again");
            }
            return;
        }
        ::metrics::counter!(metrics::OUTCOME_ROUNDS, "result" => "ok").increment(1);
        (self.written_at, self.failed) = (Instant::now(), false);
    }

    fn report(&self) {
        let rows = u32::try_from(self.counts.rows()).unwrap_or(u32::MAX);
        ::metrics::gauge!(metrics::OUTCOME_ROWS).set(f64::from(rows));
        ::metrics::gauge!(metrics::OUTCOME_AGE_SECONDS).set(self.written_at.elapsed().as_secs_f64());
        let lost = self.counts.take_lost();
        if lost > 0 {
            tracing::warn!(
                lost,
                "too many rows of outcomes wait for Postgres: events were counted in metrics alone"
            );
        }
    }
}

impl Taken {
    fn row(&self) -> Option<Row> {
        Some(Row {
            tenant: TenantId(self.key.tenant),
            minute: self.key.minute(),
            project: ProjectId(self.key.project),
            key: self.key.key,
            outcome: self.key.outcome()?,
            events: i64::try_from(self.events).unwrap_or(i64::MAX),
            requests: i64::try_from(self.requests).unwrap_or(i64::MAX),
        })
    }
}
