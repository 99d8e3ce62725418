//! The commit: one Postgres transaction that moves the cursors and counts everything that the batch holds.

use metering::ledger::{Counts, Usage};
use metering::settle::Settlement;
use sqlx::{PgConnection, PgPool};

use crate::batch::Range;
use crate::dead::budget::{self, Budget, Overdrawn};
use crate::dead::write::{DeadLetter, write};

/// Events that end a ledger row: small batches share one.
const LEDGER_ROW_EVENTS: i64 = 100_000;

/// What a batch commits.
#[derive(Debug, Default)]
pub struct Commit {
    /// The cursors' moves.
    pub ranges: Vec<Range>,
    /// For the batch ledger: counts and xor hash of each range, in the order of `ranges`.
    pub sums: Vec<RangeSum>,
    /// For the usage ledger.
    pub usage: Usage,
    /// For quotas.
    pub settlement: Settlement,
    /// For the dead letters.
    pub dead: Vec<DeadLetter>,
}

/// What became of a range's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeSum {
    /// Counts by outcome.
    pub counts: Counts,
    /// Exclusive or over the low 64 bits of the stored events' hashes.
    pub xor_hash: i64,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// All of it is in Postgres.
    Yes,
    /// Another processor owns a partition, or the cursor is not where this batch began: nothing was changed.
    NotOwner,
    /// More events of a partition would be dead than is allowed: nothing was changed.
    TooManyDead(Overdrawn),
}

/// Commits, or finds out whether it has.
///
/// # Errors
/// If Postgres fails and whether it committed is not known: call again.
pub async fn commit(pool: &PgPool, batch: &Commit, budget: Budget) -> Result<Committed, sqlx::Error> {
    if already_committed(pool, &batch.ranges).await? {
        return Ok(Committed::Yes);
    }
    faults::point("processor.before_commit");
    let mut tx = pool.begin().await?;
    if !move_cursors(&mut tx, &batch.ranges).await? {
        tx.rollback().await?;
        return Ok(Committed::NotOwner);
    }
    if let Some(overdrawn) = budget::overdrawn(&mut tx, &batch.dead, budget).await? {
        tx.rollback().await?;
        return Ok(Committed::TooManyDead(overdrawn));
    }
    batch.usage.apply(&mut tx).await?;
    batch.settlement.apply(&mut tx).await?;
    write_ledger(&mut tx, batch).await?;
    write(&mut tx, &batch.dead).await?;
    tx.commit().await?;
    faults::point("processor.after_commit");
    Ok(Committed::Yes)
}

/// Whether an earlier try of this very batch went through unacknowledged: then all its cursors stand at its end,
/// under its epoch. Nobody else can have moved them there, since an epoch has one owner.
async fn already_committed(pool: &PgPool, ranges: &[Range]) -> Result<bool, sqlx::Error> {
    let columns = Columns::of(ranges);
    let moved: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM partition_cursor c
         JOIN unnest($1::int[], $2::bigint[], $3::bigint[]) AS r (partition, hi, epoch)
         ON (c.partition, c.next_offset, c.epoch) = (r.partition, r.hi, r.epoch)",
    )
    .bind(&columns.partition)
    .bind(&columns.hi)
    .bind(&columns.epoch)
    .fetch_one(pool)
    .await?;
    Ok(usize::try_from(moved) == Ok(ranges.len()))
}

async fn move_cursors(tx: &mut PgConnection, ranges: &[Range]) -> Result<bool, sqlx::Error> {
    let columns = Columns::of(ranges);
    if faults::mutant("no-cas") {
        return move_whatever_stands(tx, &columns).await;
    }
    let moved = sqlx::query(
        "UPDATE partition_cursor c SET next_offset = r.hi
         FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[]) AS r (partition, lo, hi, epoch)
         WHERE (c.partition, c.next_offset, c.epoch) = (r.partition, r.lo, r.epoch)",
    )
    .bind(&columns.partition)
    .bind(&columns.lo)
    .bind(&columns.hi)
    .bind(&columns.epoch)
    .execute(tx)
    .await?;
    Ok(usize::try_from(moved.rows_affected()) == Ok(ranges.len()))
}

/// What a commit must not do: to ask neither where the cursor stands nor whose it is.
async fn move_whatever_stands(tx: &mut PgConnection, columns: &Columns) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "UPDATE partition_cursor c SET next_offset = r.hi
         FROM unnest($1::int[], $2::bigint[]) AS r (partition, hi) WHERE c.partition = r.partition",
    )
    .bind(&columns.partition)
    .bind(&columns.hi)
    .execute(tx)
    .await?;
    Ok(true)
}

/// Prolongs each partition's last ledger row, or begins one where that row is full.
async fn write_ledger(tx: &mut PgConnection, batch: &Commit) -> Result<(), sqlx::Error> {
    let columns = Columns::of(&batch.ranges);
    let counts = |of: fn(&Counts) -> i64| batch.sums.iter().map(|sum| of(&sum.counts)).collect::<Vec<i64>>();
    let xor_hash: Vec<i64> = batch.sums.iter().map(|sum| sum.xor_hash).collect();
    sqlx::query(
        "WITH r AS (
             SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                 AS r (partition, lo, hi, stored, duplicate, dead, xor_hash)),
         prolonged AS (
             UPDATE batch_ledger b
             SET hi = r.hi, stored = b.stored + r.stored, duplicate = b.duplicate + r.duplicate,
                 dead = b.dead + r.dead, xor_hash = b.xor_hash # r.xor_hash
             FROM r WHERE (b.partition, b.hi) = (r.partition, r.lo) AND b.stored + b.duplicate + b.dead < $8
             RETURNING b.partition)
         INSERT INTO batch_ledger (partition, lo, hi, stored, duplicate, dead, xor_hash)
         SELECT * FROM r WHERE partition NOT IN (SELECT partition FROM prolonged)",
    )
    .bind(&columns.partition)
    .bind(&columns.lo)
    .bind(&columns.hi)
    .bind(counts(|counts| counts.stored))
    .bind(counts(|counts| counts.duplicate))
    .bind(counts(|counts| counts.dead))
    .bind(&xor_hash)
    .bind(LEDGER_ROW_EVENTS)
    .execute(tx)
    .await?;
    Ok(())
}

/// Ranges as Postgres takes them. Offsets stay below 2^48.
struct Columns {
    partition: Vec<i32>,
    lo: Vec<i64>,
    hi: Vec<i64>,
    epoch: Vec<i64>,
}

impl Columns {
    fn of(ranges: &[Range]) -> Self {
        let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        Self {
            partition: ranges
                .iter()
                .map(|range| i32::try_from(range.partition).unwrap_or(i32::MAX))
                .collect(),
            lo: ranges.iter().map(|range| offset(range.lo)).collect(),
            hi: ranges.iter().map(|range| offset(range.hi)).collect(),
            epoch: ranges.iter().map(|range| range.epoch).collect(),
        }
    }
}
