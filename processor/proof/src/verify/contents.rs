//! What is in the rows of a range, by the log: where rows were enriched by other rules or with another geo database
//! than today's, the ledger's sum is made of theirs.

use processor::batch::{Range, decode_as_judged};
use processor::block::Block;
use processor::commit::RangeSum;
use processor::repair;
use service::store::StoreError;

use crate::books::{Books, LedgerRange};
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
    let (mut xor, mut otherwise) = (erased.contents.xor, 0);
    let mut records = Records::open(stores.log, partition, (lo, hi)).await?;
    loop {
        let read = records.next().await?;
        if read.is_empty() {
            break;
        }
        let events = decode_as_judged(&read, &books.letters).events;
        let block = Block::of(&events, stores.enricher);
        for (partition, position, written) in block.contents() {
            let Some(there) = present.get(&(partition, position)) else { continue };
            let is_otherwise = there.enriched_by != block.enriched_by();
            otherwise += i64::from(is_otherwise);
            xor ^= if is_otherwise { there.contents } else { written }.low_bits();
        }
    }
    verdict.enriched_otherwise += otherwise;
    verdict.expect(
        || format!("partition {partition}, offsets [{lo}, {hi})"),
        ("hash of contents by the log", &xor),
        ("in the ledger", &ledger.contents.xor),
    );
    Ok(())
}

/// Whether a range was counted right if the first events of some ids stood before the log's beginning and were erased
/// for their age: then each event too many that the log stores has no row, and is of a tenant whose rows were erased.
pub(super) async fn is_of_erased_firsts(
    books: &Books,
    stores: &Stores<'_>,
    (partition, lo): (u32, u64),
    judged: &RangeSum,
) -> Result<bool, StoreError> {
    let Some(&LedgerRange { hi, sum: ledger, .. }) = books.range(partition, lo) else { return Ok(false) };
    let erased = &books.erased.tenants;
    let present = repair::present(stores.clickhouse, &[Range { partition, lo, hi, epoch: 0 }]).await?;
    let mut without_row = 0;
    let mut records = Records::open(stores.log, partition, (lo, hi)).await?;
    loop {
        let read = records.next().await?;
        if read.is_empty() {
            break;
        }
        for placed in decode_as_judged(&read, &books.letters).events {
            let is_there = present.contains_key(&(partition, placed.position));
            without_row += i64::from(!is_there && erased.contains(&placed.envelope.tenant));
        }
    }
    let (by_log, by_ledger) = (judged.counts, ledger.counts);
    Ok(by_log.accepted() == by_ledger.accepted()
        && by_log.dead == by_ledger.dead
        && by_log.stored - by_ledger.stored <= without_row)
}
