//! The commit: one Postgres transaction that moves the cursors and counts everything that the batch holds.

use std::io;

pub use metering::ledger::{Contents, Sum as RangeSum};
use metering::ledger::{Counts, Sum, Usage};
use metering::settle::Settlement;
use schemas::content::ContentHash;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};

use crate::batch::{Failed, Range};
use crate::block::Block;
use crate::db::batch_ledger::{self, Row};
use crate::db::dead_letter;
use crate::db::partition_cursor::{self, Moves};
use crate::dead::budget::{self, Budget, Overdrawn};
use crate::letter::DeadLetter;
use crate::mark::Mark;
use crate::repair::{Present, There};

/// What a batch commits.
#[derive(Debug, Default)]
pub struct Commit {
    /// The cursors' moves.
    pub ranges: Vec<Range>,
    /// The last record of each range, in the order of `ranges`.
    pub marks: Vec<Mark>,
    /// For the batch ledger: counts and xor hash of each range, in the order of `ranges`.
    pub sums: Vec<RangeSum>,
    /// For the usage ledger.
    pub usage: Usage,
    /// For quotas.
    pub settlement: Settlement,
    /// For the dead letters.
    pub dead: Vec<DeadLetter>,
}

impl Commit {
    /// Adds what is in the block's rows, one for each stored event.
    ///
    /// What the table had before stands there as it was written: without a hash by a version before, or with another
    /// geo database. Any other row must be what is written now, whatever it says of itself.
    ///
    /// # Errors
    /// [`Failed`]: if a row is of no range.
    pub(crate) fn add_contents(&mut self, block: &Block, present: &Present) -> Result<(), Failed> {
        // Records of a partition come together, more than once.
        let mut place = 0;
        let mut of_accounts = vec![Contents::default(); block.accounts().len()];
        for ((partition, position, written), account) in block.contents().zip(block.account_of_each()) {
            if self.ranges.get(place).is_none_or(|range| range.partition != partition) {
                let found = self.ranges.iter().position(|range| range.partition == partition);
                place = found.unwrap_or(usize::MAX);
            }
            let no_range = || Failed { partition, cause: io::Error::other("a row is of no range") };
            let sum = self.sums.get_mut(place).ok_or_else(no_range)?;
            let stays = |there: &&There| {
                there.contents == ContentHash::NONE || there.enriched_by != block.enriched_by()
            };
            let there = present.get(&(partition, position)).filter(stays);
            let contents = there.map_or(written, |there| there.contents);
            sum.contents.add(contents);
            if let Some(sum) = of_accounts.get_mut(account) {
                sum.add(contents);
            }
        }
        for (account, contents) in block.accounts().iter().zip(of_accounts) {
            self.usage.add(*account, Sum { contents, ..Sum::default() });
        }
        Ok(())
    }
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
    let moves = moves(batch);
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

fn moves(batch: &Commit) -> Moves {
    let mut moves = Moves::default();
    let mut marks = batch.marks.iter();
    for range in &batch.ranges {
        moves.push(range.partition, (range.lo, range.hi), range.epoch, marks.next().map(|mark| mark.hash));
    }
    moves
}

fn ledger_rows(batch: &Commit) -> Vec<Row> {
    let row = |(range, sum): (&Range, &RangeSum)| {
        let Range { partition, lo, hi, .. } = *range;
        let RangeSum { counts: Counts { stored, duplicate, dead }, xor_hash, contents } = *sum;
        let Contents { hashed, xor: xor_contents } = contents;
        Row { partition, lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents }
    };
    batch.ranges.iter().zip(&batch.sums).map(row).collect()
}

#[cfg(test)]
mod tests {
    use schemas::id::Position;

    use super::*;
    use crate::batch::decode;
    use crate::batch::tests::record;
    use crate::enrich::Enricher;

    #[test]
    fn a_range_sums_what_its_rows_hold_and_rows_that_were_there_as_they_are() {
        let records =
            [record(4, 9, &["c"]), record(3, 7, &["a"]), record(4, 10, &["d"]), record(3, 8, &["b"])];
        let block = Block::of(&decode(&records).events, &Enricher::default());
        let [c, a, d, b]: [ContentHash; 4] =
            block.contents().map(|(_, _, hash)| hash).collect::<Vec<_>>().try_into().unwrap();
        let range = |partition| Range { partition, lo: 0, hi: 10, epoch: 1 };
        let sums = |present: Present| {
            // The range of a partition without a row stands between.
            let ranges = vec![range(2), range(3), range(4)];
            let mut commit = Commit { ranges, sums: vec![RangeSum::default(); 3], ..Commit::default() };
            commit.add_contents(&block, &present).unwrap();
            commit.sums.into_iter().map(|sum| sum.contents).collect::<Vec<_>>()
        };
        let contents = |hashed, xor| Contents { hashed, xor };
        let ab = contents(2, a.low_bits() ^ b.low_bits());
        assert_eq!(sums(Present::new()), [contents(0, 0), ab, contents(2, c.low_bits() ^ d.low_bits())]);
        let at = |partition, offset, index| (partition, Position::new(offset, index));
        let other = ContentHash(5);
        let there = |contents, built| There { contents, enriched_by: (block.enriched_by().0, built) };
        let present = Present::from([
            (at(3, 7, 0), there(other, 0)),
            (at(3, 8, 0), there(other, 77)),
            (at(4, 9, 0), there(ContentHash::NONE, 0)),
        ]);
        // Who planted the first row has altered it under the same rules: the ledger knows better.
        assert_eq!(sums(present), [contents(0, 0), contents(2, a.low_bits() ^ 5), contents(1, d.low_bits())]);
    }
}
