//! Rows against the ledgers.

use std::collections::BTreeMap;

use clickhouse::Client;
use clickhouse::error::Error;
use eventlog::EventLog;
use service::store::StoreError;

use crate::books::{Books, Found, LedgerRange};
use crate::db::events::{self, RANGES_MAX, Rows, Starts};
use crate::round::Round;
use crate::verdict::Verdict;

/// Compares the rows before the cursors with the ledgers' ranges.
pub(super) async fn check(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), StoreError> {
    verdict.erasing = books.erased.deleting.is_some();
    let found = all(books, client).await?;
    for (&partition, ranges) in &books.ranges {
        for range in ranges.iter() {
            let found = found.get(&(partition, range.lo)).copied().unwrap_or_default();
            check_range((partition, range), &found, verdict);
        }
    }
    let partitions = books.cursors.keys().next_back().map_or(0, |last| last + 1);
    let beyond = events::beyond(client, partitions).await?;
    verdict.expect(
        || "partitions that the log does not have".to_owned(),
        ("rows", &beyond),
        ("expected", &0),
    );
    Ok(())
}

/// No row stands where the log ends or after, as far as it says where that is.
pub(super) async fn check_ends(
    client: &Client,
    log: &dyn EventLog,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let mut rows = 0;
    // Twice: what was appended after the first look may be stored by now.
    for _ in 0..2 {
        let mut ends = Vec::new();
        for partition in 0..log.partitions() {
            let is_unread = verdict.unread.iter().any(|unread| unread.partition == partition);
            ends.push(if is_unread { events::NO_END } else { log.bounds_of(partition).await?.end });
        }
        rows = events::not_before(client, &ends).await?;
        if rows == 0 {
            return Ok(());
        }
    }
    verdict.expect(|| "after the log's end".to_owned(), ("rows", &rows), ("expected", &0));
    Ok(())
}

/// What ClickHouse has in all ranges, by partition and first offset; none of those without rows. All columns of all
/// rows are read, once: where the events of a range lie is scattered over the table.
pub(crate) async fn all(books: &Books, client: &Client) -> Result<BTreeMap<(u32, u64), Found>, Error> {
    let starts: Vec<(u32, u64)> = books
        .ranges
        .iter()
        .flat_map(|(partition, ranges)| ranges.iter().map(|range| (*partition, range.lo)))
        .collect();
    let rows = Rows::without(books.erased.deleting.as_ref());
    events::by_range(client, &rows, &Starts::before(starts, books.ends()), true).await
}

/// Raw rows, so that a row that a merge has yet to remove is seen; and each position once.
fn check_range((partition, range): (u32, &LedgerRange), found: &Found, verdict: &mut Verdict) {
    verdict.rows += found.rows;
    verdict.erased += range.erased.counts.stored;
    let what = || format!("partition {partition}, offsets [{}, {})", range.lo, range.hi);
    let (rows, xor_hash) = range.kept();
    verdict.expect(what, ("rows", &found.rows), ("counted as stored, less what was erased", &rows));
    verdict.expect(what, ("rows", &found.rows), ("positions", &found.positions));
    let ledger = ("hash in the ledger, less what was erased", &xor_hash);
    verdict.expect(what, ("hash of rows", &found.xor_hash), ledger);
    match range.contents() {
        Some(contents) => {
            verdict.hashed += contents.hashed;
            let ledger = ("hash of contents in the ledger, less what was erased", &contents.xor);
            verdict.expect(what, ("hash of contents", &found.contents.xor), ledger);
        }
        None => verdict.unhashed += rows,
    }
    // What is in each row is what its hash was made of.
    verdict.expect(what, ("rows that were altered", &found.altered), ("expected", &0));
}

/// What ClickHouse has in these ranges of a partition, which are in order; the gaps between them are not read. Whether
/// rows are what their hash was made of is not looked at.
pub(crate) async fn found(
    client: &Client,
    partition: u32,
    ranges: &[LedgerRange],
    deleting: Option<&Round>,
) -> Result<Vec<(LedgerRange, Found)>, Error> {
    let rows = Rows::without(deleting);
    let mut all = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunk_by(|a, b| a.hi == b.lo).flat_map(|ranges| ranges.chunks(RANGES_MAX)) {
        let Some(last) = ranges.last() else { continue };
        let starts = ranges.iter().map(|range| range.lo).collect();
        let found = events::by_range(client, &rows, &Starts::of(partition, starts, last.hi), false).await?;
        let found = |range: &LedgerRange| found.get(&(partition, range.lo)).copied().unwrap_or_default();
        all.extend(ranges.iter().map(|range| (*range, found(range))));
    }
    Ok(all)
}
