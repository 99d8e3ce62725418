use std::collections::BTreeSet;

use clickhouse::Client;
use clickhouse::error::Error;
use service::store::StoreError;

use crate::books::{Books, Erasures, Found, HourOf, LedgerRange};
use crate::db::events::{self, RANGES_MAX, Rows};
use crate::verdict::Verdict;

/// Compares the rows before the cursors with the ledgers.
pub(super) async fn check(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), StoreError> {
    verdict.erasing = books.erased.deleting.is_some();
    for &partition in books.cursors.keys() {
        for ranges in books.ranges_of(partition).chunks(RANGES_MAX) {
            check_ranges(ranges, &books.erased, client, partition, verdict).await?;
        }
    }
    check_hours(books, client, verdict).await
}

/// By range of the log: raw rows, so that a row that a merge has yet to remove is seen; and each position once.
async fn check_ranges(
    ranges: &[LedgerRange],
    erased: &Erasures,
    client: &Client,
    partition: u32,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    for (range, found) in found(client, partition, ranges, erased).await? {
        verdict.rows += found.rows;
        verdict.erased += range.erased.counts.stored;
        let what = || format!("partition {partition}, offsets [{}, {})", range.lo, range.hi);
        let (rows, xor_hash) = range.kept();
        verdict.expect(what, ("rows", &found.rows), ("counted as stored, less what was erased", &rows));
        verdict.expect(what, ("rows", &found.rows), ("positions", &found.positions));
        let ledger = ("hash in the ledger, less what was erased", &xor_hash);
        verdict.expect(what, ("hash of rows", &found.xor_hash), ledger);
    }
    Ok(())
}

/// What ClickHouse has in these ranges of a partition, which are in order; the gaps between them are not read.
pub(crate) async fn found(
    client: &Client,
    partition: u32,
    ranges: &[LedgerRange],
    erased: &Erasures,
) -> Result<Vec<(LedgerRange, Found)>, Error> {
    let rows = Rows::without(erased.deleting.as_ref());
    let mut all = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunk_by(|a, b| a.hi == b.lo).flat_map(|ranges| ranges.chunks(RANGES_MAX)) {
        let starts: Vec<u64> = ranges.iter().map(|range| range.lo).collect();
        let end = ranges.last().map(|last| last.hi);
        let found = events::by_range(client, &rows, partition, &starts, end).await?;
        all.extend(ranges.iter().map(|range| (*range, found.get(&range.lo).copied().unwrap_or_default())));
    }
    Ok(all)
}

async fn check_hours(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), StoreError> {
    for (hour, rows, kept) in hours(books, client).await? {
        verdict.expect(|| format!("{hour:?}"), ("rows", &rows), ("billed, less what was erased", &kept));
    }
    Ok(())
}

/// By tenant, project and hour: the rows before the cursors, and what is billed, less what was erased.
pub(crate) async fn hours(books: &Books, client: &Client) -> Result<Vec<(HourOf, i64, i64)>, Error> {
    let partitions = books.cursors.keys().next_back().map_or(0, |last| last + 1);
    let ends: Vec<u64> =
        (0..partitions).map(|partition| books.cursors.get(&partition).copied().unwrap_or(0)).collect();
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::without(books.erased.deleting.as_ref());
    let found = events::by_hour(client, &rows, Some(&ends)).await?;
    let erased = &books.erased.hours;
    let hours: BTreeSet<HourOf> =
        books.usage.keys().chain(found.keys()).chain(erased.keys()).copied().collect();
    let compared = hours.into_iter().map(|hour| {
        let billed = books.usage.get(&hour).copied().unwrap_or_default().stored;
        let kept = billed - erased.get(&hour).copied().unwrap_or(0);
        (hour, found.get(&hour).copied().unwrap_or(0), kept)
    });
    Ok(compared.collect())
}
