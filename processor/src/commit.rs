//! The commit: one Postgres transaction that moves the cursors and counts everything that the batch holds.

use metering::ledger::{Counts, Usage};
use metering::settle::Settlement;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};

use crate::batch::Range;
use crate::db::batch_ledger::{self, Row};
use crate::db::dead_letter;
use crate::db::partition_cursor::{self, Moves};
use crate::dead::budget::{self, Budget, Overdrawn};
use crate::letter::DeadLetter;

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
pub async fn commit(pool: &PgPool, batch: &Commit, budget: Budget) -> Result<Committed, StoreError> {
    let moves = moves(&batch.ranges);
    // An earlier try of this very batch went through unacknowledged: nobody else can have moved the cursors to its end
    // under its epoch, since an epoch has one owner.
    if partition_cursor::stand_at_end(pool, &moves).await? {
        return Ok(Committed::Yes);
    }
    faults::point("processor.before_commit");
    let mut tx = pool.begin().await?;
    if !move_cursors(&mut tx, &moves).await? {
        tx.rollback().await?;
        return Ok(Committed::NotOwner);
    }
    if let Some(overdrawn) = budget::overdrawn(&mut tx, &batch.dead, budget).await? {
        tx.rollback().await?;
        return Ok(Committed::TooManyDead(overdrawn));
    }
    batch.usage.apply(&mut tx).await?;
    batch.settlement.apply(&mut tx).await?;
    batch_ledger::add(&mut tx, &ledger_rows(batch)).await?;
    dead_letter::insert(&mut tx, &batch.dead).await?;
    tx.commit().await?;
    faults::point("processor.after_commit");
    Ok(Committed::Yes)
}

async fn move_cursors(tx: &mut PgConnection, moves: &Moves) -> Result<bool, sqlx::Error> {
    if faults::mutant("no-cas") {
        partition_cursor::advance_unasked(tx, moves).await?;
        return Ok(true);
    }
    partition_cursor::advance(tx, moves).await
}

fn moves(ranges: &[Range]) -> Moves {
    let mut moves = Moves::default();
    for range in ranges {
        moves.push(range.partition, (range.lo, range.hi), range.epoch);
    }
    moves
}

fn ledger_rows(batch: &Commit) -> Vec<Row> {
    let row = |(range, sum): (&Range, &RangeSum)| {
        let Range { partition, lo, hi, .. } = *range;
        let RangeSum { counts: Counts { stored, duplicate, dead }, xor_hash } = *sum;
        Row { partition, lo, hi, stored, duplicate, dead, xor_hash }
    };
    batch.ranges.iter().zip(&batch.sums).map(row).collect()
}
