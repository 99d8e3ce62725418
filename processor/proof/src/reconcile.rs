//! Reconciliation: rows against the batch ledger, all the time, so that nobody has to think of asking.
//!
//! Each run compares the ranges that were committed since the last one, those that did not agree before, and a part
//! of all others, so that each is seen again within a day. It changes nothing: it reports, and a person decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Client;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::StoreError;
use service::task::{Pace, every};
use service::trace::Span;
use sqlx::PgPool;

use crate::books::{Found, LedgerRange};
use crate::db::{batch_ledger, erasure, mismatched_range, reconciled_partition, reconciliation};
use crate::metrics;
use crate::round::Round;
use crate::verify::ledger;
use crate::verify::rows::found;
use processor::below;

/// How often to see whether a run is due, and what the last one found.
const TICK: Duration = Duration::from_secs(15);
/// Ranges of one step of a run.
const RANGES_MAX: i64 = 2_000;
/// In which every range is to be seen again.
const DAY: Duration = Duration::from_hours(24);

/// Compares each `period` until `shutdown` is ordered. Any number of processes may run it: one at a time compares.
pub async fn run(pool: PgPool, clickhouse: Client, period: Duration, shutdown: Shutdown) {
    let mut rounds = every("reconciliation", Pace::at_once(TICK), shutdown);
    while rounds.due().await {
        let attempt = async {
            if reconciliation::is_due(&pool, period).await? {
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
/// [`StoreError`]: the next run goes on.
pub async fn round(pool: &PgPool, clickhouse: &Client, every: Duration) -> Result<usize, StoreError> {
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

async fn compare_all(pool: &PgPool, clickhouse: &Client, every: Duration) -> Result<usize, StoreError> {
    reconciled_partition::add_new(pool).await?;
    let mut compared = 0;
    for (partition, mut new_to, old_to) in reconciled_partition::all(pool).await? {
        compared += again(pool, clickhouse, partition).await?;
        let (old, next_old_to) = old(pool, partition, new_to, old_to, every).await?;
        compared += compare(pool, clickhouse, partition, &old).await?;
        loop {
            let ranges = batch_ledger::after(pool, partition, new_to, RANGES_MAX).await?;
            let Some(last) = ranges.last() else { break };
            compared += compare(pool, clickhouse, partition, &ranges).await?;
            new_to = i64::try_from(last.hi).unwrap_or(i64::MAX);
        }
        reconciled_partition::note(pool, (partition, new_to, next_old_to)).await?;
    }
    reconciliation::note_end(pool).await?;
    Ok(compared)
}

/// What the last run of any process has found.
async fn observe(pool: &PgPool) -> Result<(), StoreError> {
    let mismatched = mismatched_range::count(pool).await?;
    ::metrics::gauge!(metrics::MISMATCHED_RANGES)
        .set(f64::from(u32::try_from(mismatched).unwrap_or(u32::MAX)));
    if let Some(age) = reconciliation::age(pool).await? {
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
    let all = batch_ledger::count(pool, partition).await?;
    let runs = i64::try_from(DAY.as_secs() / every.as_secs().max(1)).unwrap_or(1).max(1);
    let part = (all / runs + 1).min(RANGES_MAX);
    let ranges = batch_ledger::within(pool, partition, (old_to, new_to), part).await?;
    let is_end = i64::try_from(ranges.len()).unwrap_or(i64::MAX) < part;
    let next = ranges.last().filter(|_| !is_end).map_or(0, |last| i64::try_from(last.hi).unwrap_or(0));
    Ok((ranges, next))
}

/// Those that did not agree.
async fn again(pool: &PgPool, clickhouse: &Client, partition: i32) -> Result<usize, StoreError> {
    let known = batch_ledger::mismatched(pool, partition, RANGES_MAX).await?;
    compare(pool, clickhouse, partition, &known).await
}

/// Compares ranges, and writes down which do not agree.
async fn compare(
    pool: &PgPool,
    clickhouse: &Client,
    partition: i32,
    all: &[LedgerRange],
) -> Result<usize, StoreError> {
    let number = u32::try_from(partition).unwrap_or_default();
    let (all, deleting) = less_erased(pool, number, all).await?;
    let compared = found(clickhouse, number, &all, deleting.as_ref()).await?;
    let suspect: BTreeSet<u64> =
        compared.iter().filter(|(range, found)| !found.agrees(range)).map(|(range, _)| range.lo).collect();
    let mut wrong: BTreeMap<u64, (LedgerRange, Found)> = BTreeMap::new();
    if !suspect.is_empty() {
        // A repair may be at work on these rows: look again while none is.
        let held = below::change(pool, number).await?;
        for start in suspect {
            let now = batch_ledger::at(pool, partition, start).await?;
            let (now, deleting) = less_erased(pool, number, now.as_slice()).await?;
            let again = found(clickhouse, number, &now, deleting.as_ref()).await?;
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

/// The ranges, which are in order, with what was erased of them, and whose rows must not be looked at.
async fn less_erased(
    pool: &PgPool,
    partition: u32,
    ranges: &[LedgerRange],
) -> Result<(Vec<LedgerRange>, Option<Round>), sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let mut ranges = ranges.to_vec();
    ledger::less_erased(&mut tx, partition, &mut ranges).await?;
    let deleting = erasure::counted(&mut *tx).await?;
    tx.commit().await?;
    Ok((ranges, deleting))
}

async fn write_down(
    pool: &PgPool,
    partition: i32,
    compared: &[LedgerRange],
    wrong: &BTreeMap<u64, (LedgerRange, Found)>,
) -> Result<(), sqlx::Error> {
    let right = compared.iter().map(|range| range.lo).filter(|lo| !wrong.contains_key(lo));
    mismatched_range::forget(pool, partition, right).await?;
    for (range @ LedgerRange { lo, hi, .. }, found) in wrong.values() {
        let (rows, xor_hash) = range.kept();
        let detail = format!(
            "{} rows at {} positions with hash {}, where by the ledger, less what was erased, there are \
             {rows} with hash {xor_hash}",
            found.rows, found.positions, found.xor_hash
        );
        tracing::error!(
            partition,
            lo,
            hi,
            "rows do not agree with the ledger: {detail}. What mends it: weir verify --repair"
        );
        mismatched_range::note(pool, partition, range, &detail).await?;
    }
    Ok(())
}
