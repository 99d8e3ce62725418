//! What is in the rows of a range, by the log: where rows were enriched by other rules or with another geo database
//! than today's, the ledger's sum is made of theirs.

use processor::batch::{Placed, Range, decode_as_judged};
use processor::block::Block;
use processor::commit::RangeSum;
use processor::{repair, rows};
use schemas::content::ContentHash;
use schemas::id::Position;
use schemas::time::Micros;
use service::store::StoreError;

use crate::books::{Books, LedgerRange};
use crate::db::known_ids;
use crate::records::Records;
use crate::stores::Stores;
use crate::verdict::Verdict;

/// Compares the contents of the range that begins at `lo`, event by event.
pub(super) async fn check(
    books: &Books,
    stores: &Stores<'_>,
    (partition, lo): (u32, u64),
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let Some(&LedgerRange { hi, sum: ledger, erased, .. }) = books.range(partition, lo) else {
        return Ok(());
    };
    if erased.counts.stored > 0 && books.erased.deleting.is_some() {
        // They may be there or not.
        return Ok(());
    }
    let present = repair::present(stores.clickhouse, &[Range { partition, lo, hi, epoch: 0 }]).await?;
    let (mut xor, mut otherwise, mut altered) = (erased.contents.xor, 0, 0);
    let mut records = Records::open(stores.log, partition, (lo, hi)).await?;
    loop {
        let read = records.next().await?;
        if read.is_empty() {
            break;
        }
        let events = decode_as_judged(&read, &books.letters).events;
        let block = Block::of(&events, stores.enricher);
        let mut then = Vec::new();
        for (partition, position, written) in block.contents() {
            let Some(there) = present.get(&(partition, position)) else { continue };
            if there.enriched_by == block.enriched_by() {
                xor ^= written.low_bits();
            } else {
                then.push(position.number());
                xor ^= there.contents.low_bits();
            }
        }
        otherwise += as_count(then.len());
        let then = rows::enriched_then(stores.clickhouse, partition, &then).await?;
        let expected = rows::content_hashes_then(&events, stores.enricher, &then);
        let is_altered = |(position, hash): &&(Position, ContentHash)| {
            present.get(&(partition, *position)).is_some_and(|there| there.contents != *hash)
        };
        altered += as_count(expected.iter().filter(is_altered).count());
    }
    verdict.enriched_otherwise += otherwise;
    let what = || format!("partition {partition}, offsets [{lo}, {hi})");
    verdict.expect(what, ("hash of contents by the log", &xor), ("in the ledger", &ledger.contents.xor));
    verdict.expect(what, ("rows that are not as the log and their geo database", &altered), ("expected", &0));
    Ok(())
}

fn as_count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Whether a range was counted right if the first events of some ids stood before the log's beginning and were erased
/// for their age: then each event too many that the log stores never had a row, and was received within the window
/// after an hour of its tenant of which rows were erased.
pub(super) async fn is_of_erased_firsts(
    books: &Books,
    stores: &Stores<'_>,
    (partition, lo): (u32, u64),
    judged: &RangeSum,
) -> Result<bool, StoreError> {
    let Some(&LedgerRange { hi, sum: ledger, .. }) = books.range(partition, lo) else { return Ok(false) };
    let window = i64::try_from(stores.dedup_window.as_micros()).unwrap_or(i64::MAX);
    let is_early_enough = |placed: &&Placed<'_>| {
        let envelope = &placed.envelope;
        let last = books.erased.tenants.get(&envelope.tenant);
        let until = last.map(|last| last.0.saturating_add(Micros::HOUR).saturating_add(window));
        until.is_some_and(|until| envelope.received_at.0 < until)
    };
    let mut without_row = 0;
    let mut records = Records::open(stores.log, partition, (lo, hi)).await?;
    loop {
        let read = records.next().await?;
        if read.is_empty() {
            break;
        }
        let events = decode_as_judged(&read, &books.letters).events;
        let positions: Vec<Position> =
            events.iter().filter(is_early_enough).map(|placed| placed.position).collect();
        for positions in positions.chunks(known_ids::POSITIONS_MAX) {
            let had = known_ids::at(stores.clickhouse, partition, positions).await?;
            without_row += as_count(positions.len() - had.len());
        }
    }
    let (by_log, by_ledger) = (judged.counts, ledger.counts);
    Ok(by_log.accepted() == by_ledger.accepted()
        && by_log.dead == by_ledger.dead
        && by_log.stored - by_ledger.stored <= without_row)
}
