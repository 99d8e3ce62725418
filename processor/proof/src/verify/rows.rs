use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Client;
use clickhouse::error::Error;
use eventlog::EventLog;
use service::store::StoreError;

use crate::books::{BilledHour, Books, Erasures, Found, HourOf, LedgerRange, UNKNOWN};
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
    let partitions = books.cursors.keys().next_back().map_or(0, |last| last + 1);
    let beyond = events::beyond(client, partitions).await?;
    verdict.expect(
        || "partitions that the log does not have".to_owned(),
        ("rows", &beyond),
        ("expected", &0),
    );
    check_hours(books, client, verdict).await
}

/// No row stands where the log ends or after.
pub(super) async fn check_ends(
    client: &Client,
    log: &dyn EventLog,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let mut rows = 0;
    // Twice: what was appended after the first look may be stored by now.
    for _ in 0..2 {
        let ends: Vec<u64> = log.bounds().await?.iter().map(|bounds| bounds.end).collect();
        rows = events::not_before(client, &ends).await?;
        if rows == 0 {
            return Ok(());
        }
    }
    verdict.expect(|| "after the log's end".to_owned(), ("rows", &rows), ("expected", &0));
    Ok(())
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
        match range.contents() {
            Some(contents) => {
                verdict.hashed += contents.hashed;
                let ledger = ("hash of contents in the ledger, less what was erased", &contents.xor);
                verdict.expect(what, ("hash of contents", &found.contents.xor), ledger);
            }
            None => verdict.unhashed += rows,
        }
    }
    check_contents(ranges, erased, client, partition, verdict).await
}

/// What is in each row is what its hash was made of.
async fn check_contents(
    ranges: &[LedgerRange],
    erased: &Erasures,
    client: &Client,
    partition: u32,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    for (range, rows) in altered(client, partition, ranges, erased).await? {
        let what = || format!("partition {partition}, offsets [{}, {})", range.lo, range.hi);
        verdict.expect(what, ("rows that were altered", &rows), ("expected", &0));
    }
    Ok(())
}

/// Of these ranges of a partition, which are in order: those with altered rows, and how many.
pub(crate) async fn altered(
    client: &Client,
    partition: u32,
    ranges: &[LedgerRange],
    erased: &Erasures,
) -> Result<Vec<(LedgerRange, u64)>, Error> {
    let rows = Rows::without(erased.deleting.as_ref());
    let mut all = Vec::new();
    for ranges in ranges.chunks(RANGES_MAX) {
        let Some(last) = ranges.last() else { continue };
        let starts: Vec<u64> = ranges.iter().map(|range| range.lo).collect();
        let found = events::altered(client, &rows, partition, &starts, last.hi).await?;
        let range = |lo| ranges.iter().find(|range| range.lo == lo);
        all.extend(found.into_iter().filter_map(|(lo, rows)| Some((*range(lo)?, rows))));
    }
    Ok(all)
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

/// By tenant, project, hour and period: the rows before the cursors, and what is billed, less what was erased. Where
/// rows do not say their period, an hour's periods are compared together.
pub(crate) async fn hours(books: &Books, client: &Client) -> Result<Vec<(BilledHour, i64, i64)>, Error> {
    let partitions = books.cursors.keys().next_back().map_or(0, |last| last + 1);
    let ends: Vec<u64> =
        (0..partitions).map(|partition| books.cursors.get(&partition).copied().unwrap_or(0)).collect();
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::without(books.erased.deleting.as_ref());
    let found = events::by_hour(client, &rows, Some(&ends)).await?;
    let erased = &books.erased.hours;
    let of_no_period = found.keys().chain(erased.keys()).filter(|hour| hour.period == UNKNOWN);
    let together: BTreeSet<HourOf> = of_no_period.map(|hour| hour.of).collect();
    let mut compared: BTreeMap<BilledHour, (i64, i64)> = BTreeMap::new();
    let mut add = |hour: &BilledHour, rows: i64, kept: i64| {
        let period = if together.contains(&hour.of) { UNKNOWN } else { hour.period };
        let sums = compared.entry(BilledHour { period, ..*hour }).or_default();
        *sums = (sums.0 + rows, sums.1 + kept);
    };
    found.iter().for_each(|(hour, rows)| add(hour, *rows, 0));
    books.usage.iter().for_each(|(hour, counts)| add(hour, 0, counts.stored));
    erased.iter().for_each(|(hour, rows)| add(hour, 0, -rows));
    Ok(compared.into_iter().map(|(hour, (rows, kept))| (hour, rows, kept)).collect())
}
