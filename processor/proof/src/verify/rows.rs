use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Client, Row};
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde::Deserialize;

use processor::commit::RangeSum;

use crate::books::{Books, Erasures, HourOf};
use crate::verdict::{Verdict, VerifyError};

#[derive(Row, Deserialize)]
struct RangeRow {
    lo: u64,
    rows: u64,
    positions: u64,
    xor_hash: u64,
}

#[derive(Row, Deserialize)]
struct HourRow {
    tenant_id: i64,
    project_id: i64,
    hour: i64,
    rows: u64,
}

/// Ledger ranges of one query: it names each, and ClickHouse takes queries of 256 KiB.
const RANGES_MAX: usize = 2_000;

/// A range of the log with what the ledger says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LedgerRange {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) sum: RangeSum,
    /// Of these, what was taken out of the rows since.
    pub(crate) erased: RangeSum,
}

impl LedgerRange {
    /// How many rows there must be, and the exclusive or over their hashes.
    pub(crate) fn kept(&self) -> (i64, i64) {
        (self.sum.counts.stored - self.erased.counts.stored, self.sum.xor_hash ^ self.erased.xor_hash)
    }
}

impl Erasures {
    /// What was taken out of the range that begins at `lo`.
    pub(crate) fn of(&self, partition: u32, lo: u64) -> RangeSum {
        self.ranges.get(&(partition, lo)).copied().unwrap_or_default()
    }

    /// What to add to a condition, so that rows are left out that may be there or not.
    pub(crate) fn and_not_deleting(&self) -> String {
        self.deleting.as_ref().map(|round| format!(" AND NOT {}", round.rows())).unwrap_or_default()
    }
}

/// The ledger's ranges of a partition, in order.
pub(crate) fn ranges_of(books: &Books, partition: u32) -> Vec<LedgerRange> {
    let ranges = books.ranges.range((partition, 0)..=(partition, u64::MAX));
    let range = |(&(_, lo), &(hi, sum))| LedgerRange { lo, hi, sum, erased: books.erased.of(partition, lo) };
    ranges.map(range).collect()
}

/// Compares the rows before the cursors with the ledgers.
pub(super) async fn check(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), VerifyError> {
    verdict.erasing = books.erased.deleting.is_some();
    for &partition in books.cursors.keys() {
        for ranges in ranges_of(books, partition).chunks(RANGES_MAX) {
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
) -> Result<(), VerifyError> {
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

/// What ClickHouse has in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) rows: i64,
    pub(crate) positions: i64,
    pub(crate) xor_hash: i64,
}

impl Found {
    /// Whether that is what the ledger says.
    pub(crate) fn agrees(&self, range: &LedgerRange) -> bool {
        let (rows, xor_hash) = range.kept();
        (self.rows, self.positions, self.xor_hash) == (rows, rows, xor_hash)
    }
}

/// What ClickHouse has in these ranges of a partition, which are in order; the gaps between them are not read.
pub(crate) async fn found(
    client: &Client,
    partition: u32,
    ranges: &[LedgerRange],
    erased: &Erasures,
) -> Result<Vec<(LedgerRange, Found)>, clickhouse::error::Error> {
    let mut all = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunk_by(|a, b| a.hi == b.lo).flat_map(|ranges| ranges.chunks(RANGES_MAX)) {
        let starts: Vec<u64> = ranges.iter().map(|range| range.lo).collect();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { continue };
        let rows: Vec<RangeRow> = client
            .query(&format!(
                "SELECT roundDown(bitShiftRight(position, 16), ?) AS lo, count() AS rows, uniqExact(position) AS positions,
                        groupBitXor(toUInt64(bitAnd(event_hash, toUInt128(18446744073709551615)))) AS xor_hash
                 FROM events WHERE log_partition = ? AND position >= ? AND position < ?{} GROUP BY lo",
                erased.and_not_deleting()
            ))
            .bind(starts)
            .bind(partition)
            .bind(Position::first_of(first.lo).number())
            .bind(Position::first_of(last.hi).number())
            .fetch_all()
            .await?;
        let by_start: BTreeMap<u64, RangeRow> = rows.into_iter().map(|row| (row.lo, row)).collect();
        for range in ranges {
            let found = by_start.get(&range.lo).map_or_else(Found::default, |row| Found {
                rows: as_count(row.rows),
                positions: as_count(row.positions),
                xor_hash: row.xor_hash.cast_signed(),
            });
            all.push((*range, found));
        }
    }
    Ok(all)
}

async fn check_hours(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), VerifyError> {
    for (hour, rows, kept) in hours(books, client).await? {
        verdict.expect(|| format!("{hour:?}"), ("rows", &rows), ("billed, less what was erased", &kept));
    }
    Ok(())
}

/// By tenant, project and hour: the rows before the cursors, and what is billed, less what was erased.
pub(crate) async fn hours(
    books: &Books,
    client: &Client,
) -> Result<Vec<(HourOf, i64, i64)>, clickhouse::error::Error> {
    let partitions = books.cursors.keys().next_back().map_or(0, |last| last + 1);
    let ends: Vec<u64> = (0..partitions)
        .map(|partition| Position::first_of(books.cursors.get(&partition).copied().unwrap_or(0)).number())
        .collect();
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<HourRow> = client
        .query(&format!(
            "SELECT tenant_id, project_id, toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000000 AS hour,
                    count() AS rows
             FROM events WHERE position < arrayElement(?, log_partition + 1){} GROUP BY tenant_id, project_id, hour",
            books.erased.and_not_deleting()
        ))
        .bind(ends)
        .fetch_all()
        .await?;
    let found: BTreeMap<HourOf, i64> = rows
        .into_iter()
        .map(|row| {
            let hour = HourOf {
                tenant: TenantId(row.tenant_id),
                project: ProjectId(row.project_id),
                hour: Micros(row.hour),
            };
            (hour, as_count(row.rows))
        })
        .collect();
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

fn as_count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
