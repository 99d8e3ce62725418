//! Reconciliation: rows against the batch ledger, all the time, so that nobody has to think of asking.
//!
//! Each run compares the ranges that were committed since the last one, those that did not agree before, and a part
//! of all others, so that each is seen again within a day. It changes nothing: it tells, and a person decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Client;
use metering::ledger::Counts;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::task::{Pace, every};
use service::trace::Span;
use sqlx::PgPool;

use crate::books::Erasures;
use crate::metrics;
use crate::verify::ledger::read_erased;
use crate::verify::rows::{Found, LedgerRange, found};
use processor::below;
use processor::commit::RangeSum;

/// How often to see whether a run is due, and what the last one found.
const TICK: Duration = Duration::from_secs(15);
/// Ranges of one step of a run.
const RANGES_MAX: i64 = 2_000;
/// In which every range is to be seen again.
const DAY: Duration = Duration::from_hours(24);

/// Why a run did not get to its end; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Postgres failed.
    #[error("Postgres failed")]
    Postgres(#[from] sqlx::Error),
    /// ClickHouse failed.
    #[error("ClickHouse failed")]
    ClickHouse(#[from] clickhouse::error::Error),
}

/// Compares each `period` until `shutdown` is ordered. Any number of processes may run it: one at a time compares.
pub async fn run(pool: PgPool, clickhouse: Client, period: Duration, shutdown: Shutdown) {
    let mut rounds = every("reconciliation", Pace::at_once(TICK), shutdown);
    while rounds.due().await {
        let attempt = async {
            if is_due(&pool, period).await? {
                round(&pool, &clickhouse, period).await?;
            }
            observe(&pool).await
        };
        rounds.attempt(attempt).await;
    }
}

/// One run, if no other process is at it: how many ranges were compared.
///
/// # Errors
/// [`ReconcileError`].
pub async fn round(pool: &PgPool, clickhouse: &Client, every: Duration) -> Result<usize, ReconcileError> {
    let Some(held) = below::try_reconcile(pool).await? else { return Ok(0) };
    let mut span = Span::job("reconcile");
    let compared = compare_all(pool, clickhouse, every).await;
    match &compared {
        Ok(ranges) => span.set("weir.ranges", || *ranges),
        Err(error) => span.fail(|| Chain(error).to_string()),
    }
    held.release().await;
    compared
}

async fn compare_all(pool: &PgPool, clickhouse: &Client, every: Duration) -> Result<usize, ReconcileError> {
    sqlx::query("INSERT INTO reconciled_partition (partition) SELECT partition FROM partition_cursor ON CONFLICT DO NOTHING")
        .execute(pool)
        .await?;
    let partitions: Vec<(i32, i64, i64)> =
        sqlx::query_as("SELECT partition, new_to, old_to FROM reconciled_partition ORDER BY partition")
            .fetch_all(pool)
            .await?;
    let mut compared = 0;
    for (partition, mut new_to, old_to) in partitions {
        compared += again(pool, clickhouse, partition).await?;
        let (old, next_old_to) = old(pool, partition, new_to, old_to, every).await?;
        compared += compare(pool, clickhouse, partition, &old).await?;
        loop {
            let ranges = ranges(pool, partition, "hi > $2 AND $3 = $3", new_to, 0, RANGES_MAX).await?;
            let Some(last) = ranges.last() else { break };
            compared += compare(pool, clickhouse, partition, &ranges).await?;
            new_to = i64::try_from(last.hi).unwrap_or(i64::MAX);
        }
        sqlx::query("UPDATE reconciled_partition SET new_to = $2, old_to = $3 WHERE partition = $1")
            .bind(partition)
            .bind(new_to)
            .bind(next_old_to)
            .execute(pool)
            .await?;
    }
    sqlx::query("UPDATE reconciliation SET ended_at = now()").execute(pool).await?;
    Ok(compared)
}

async fn is_due(pool: &PgPool, every: Duration) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(ended_at <= now() - $1 * interval '1 second', true) FROM reconciliation",
    )
    .bind(every.as_secs_f64())
    .fetch_one(pool)
    .await
}

/// What the last run of any process has found, whoever's it was.
async fn observe(pool: &PgPool) -> Result<(), ReconcileError> {
    let (mismatched, age): (i64, Option<f64>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM mismatched_range), extract(epoch FROM now() - ended_at)::float8 FROM reconciliation",
    )
    .fetch_one(pool)
    .await?;
    ::metrics::gauge!(metrics::MISMATCHED_RANGES)
        .set(f64::from(u32::try_from(mismatched).unwrap_or(u32::MAX)));
    if let Some(age) = age {
        ::metrics::gauge!(metrics::RECONCILED_AGE_SECONDS).set(age);
    }
    Ok(())
}

/// The next part of the ranges that were compared before, and where the part after it begins.
async fn old(
    pool: &PgPool,
    partition: i32,
    new_to: i64,
    old_to: i64,
    every: Duration,
) -> Result<(Vec<LedgerRange>, i64), sqlx::Error> {
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM batch_ledger WHERE partition = $1")
        .bind(partition)
        .fetch_one(pool)
        .await?;
    let runs = i64::try_from(DAY.as_secs() / every.as_secs().max(1)).unwrap_or(1).max(1);
    let part = (all / runs + 1).min(RANGES_MAX);
    let ranges = ranges(pool, partition, "lo >= $2 AND hi <= $3", old_to, new_to, part).await?;
    let is_end = i64::try_from(ranges.len()).unwrap_or(i64::MAX) < part;
    let next = ranges.last().filter(|_| !is_end).map_or(0, |last| i64::try_from(last.hi).unwrap_or(0));
    Ok((ranges, next))
}

/// Those that did not agree.
async fn again(pool: &PgPool, clickhouse: &Client, partition: i32) -> Result<usize, ReconcileError> {
    let is_known =
        "lo IN (SELECT m.lo FROM mismatched_range m WHERE m.partition = $1) AND $2 = $2 AND $3 = $3";
    let known = ranges(pool, partition, is_known, 0, 0, RANGES_MAX).await?;
    compare(pool, clickhouse, partition, &known).await
}

/// Compares ranges, and writes down which do not agree.
async fn compare(
    pool: &PgPool,
    clickhouse: &Client,
    partition: i32,
    all: &[LedgerRange],
) -> Result<usize, ReconcileError> {
    let number = u32::try_from(partition).unwrap_or_default();
    let (all, erasures) = less_erased(pool, number, all).await?;
    let compared = found(clickhouse, number, &all, &erasures).await?;
    let suspect: BTreeSet<u64> =
        compared.iter().filter(|(range, found)| !found.agrees(range)).map(|(range, _)| range.lo).collect();
    let mut wrong: BTreeMap<u64, (LedgerRange, Found)> = BTreeMap::new();
    if !suspect.is_empty() {
        // A repair may be at work on these rows: look again while none is.
        let held = below::change(pool, number).await?;
        let starts: Vec<i64> = suspect.iter().map(|lo| i64::try_from(*lo).unwrap_or(i64::MAX)).collect();
        for start in starts {
            let now = ranges(pool, partition, "lo = $2 AND $3 = $3", start, 0, 1).await?;
            let (now, erasures) = less_erased(pool, number, &now).await?;
            let again = found(clickhouse, number, &now, &erasures).await?;
            wrong.extend(
                again.into_iter().filter(|(range, found)| !found.agrees(range)).map(|one| (one.0.lo, one)),
            );
        }
        held.release().await;
    }
    write_down(pool, partition, &all, &wrong).await?;
    ::metrics::counter!(metrics::RECONCILED_RANGES).increment(u64::try_from(all.len()).unwrap_or_default());
    Ok(all.len())
}

/// The ranges with what was erased of them, and whose rows must not be looked at.
async fn less_erased(
    pool: &PgPool,
    partition: u32,
    ranges: &[LedgerRange],
) -> Result<(Vec<LedgerRange>, Erasures), sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let erasures = read_erased(&mut tx).await?;
    tx.commit().await?;
    let less = |range: &LedgerRange| LedgerRange { erased: erasures.of(partition, range.lo), ..*range };
    Ok((ranges.iter().map(less).collect(), erasures))
}

async fn write_down(
    pool: &PgPool,
    partition: i32,
    compared: &[LedgerRange],
    wrong: &BTreeMap<u64, (LedgerRange, Found)>,
) -> Result<(), sqlx::Error> {
    let right: Vec<i64> = compared
        .iter()
        .filter(|range| !wrong.contains_key(&range.lo))
        .map(|range| i64::try_from(range.lo).unwrap_or(i64::MAX))
        .collect();
    sqlx::query("DELETE FROM mismatched_range WHERE partition = $1 AND lo = ANY($2)")
        .bind(partition)
        .bind(right)
        .execute(pool)
        .await?;
    for (range @ LedgerRange { lo, hi, .. }, found) in wrong.values() {
        let (rows, xor_hash) = range.kept();
        let detail = format!(
            "{} rows at {} positions with hash {}, where by the ledger, less what was erased, there are {rows} with hash {xor_hash}",
            found.rows, found.positions, found.xor_hash
        );
        tracing::error!(
            partition,
            lo,
            hi,
            "rows do not agree with the ledger: {detail}. What mends it: weir verify --repair"
        );
        sqlx::query(
            "INSERT INTO mismatched_range (partition, lo, hi, detail) VALUES ($1, $2, $3, $4)
             ON CONFLICT (partition, lo) DO UPDATE SET hi = excluded.hi, detail = excluded.detail",
        )
        .bind(partition)
        .bind(i64::try_from(*lo).unwrap_or(i64::MAX))
        .bind(i64::try_from(*hi).unwrap_or(i64::MAX))
        .bind(detail)
        .execute(pool)
        .await?;
    }
    Ok(())
}

/// Ledger ranges of a partition, in order, for which `condition` on `$2` and `$3` holds.
async fn ranges(
    pool: &PgPool,
    partition: i32,
    condition: &'static str,
    second: i64,
    third: i64,
    most: i64,
) -> Result<Vec<LedgerRange>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, i64, i64, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT lo, hi, stored, duplicate, dead, xor_hash FROM batch_ledger
         WHERE partition = $1 AND {condition} ORDER BY lo LIMIT $4"
    )))
    .bind(partition)
    .bind(second)
    .bind(third)
    .bind(most)
    .fetch_all(pool)
    .await?;
    let offset = |offset: i64| u64::try_from(offset).unwrap_or_default();
    let range = |(lo, hi, stored, duplicate, dead, xor_hash)| LedgerRange {
        lo: offset(lo),
        hi: offset(hi),
        sum: RangeSum { counts: Counts { stored, duplicate, dead }, xor_hash },
        erased: RangeSum::default(),
    };
    Ok(rows.into_iter().map(range).collect())
}
