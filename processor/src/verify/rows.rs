use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Client, Row};
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde::Deserialize;

use super::{Books, Erasures, HourOf, Verdict, VerifyError};
use crate::commit::RangeSum;

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

struct LedgerRange {
    lo: u64,
    hi: u64,
    sum: RangeSum,
    erased: RangeSum,
}

impl Erasures {
    /// What to add to a condition, so that rows are left out that may be there or not.
    fn and_not_deleting(&self) -> String {
        self.deleting.as_ref().map(|round| format!(" AND NOT {}", round.rows())).unwrap_or_default()
    }
}

/// Compares the rows before the cursors with the ledgers.
pub(super) async fn check(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), VerifyError> {
    verdict.erasing = books.erased.deleting.is_some();
    for &partition in books.cursors.keys() {
        let ranges: Vec<LedgerRange> = books
            .ranges
            .range((partition, 0)..=(partition, u64::MAX))
            .map(|(&(_, lo), &(hi, sum))| {
                let erased = books.erased.ranges.get(&(partition, lo)).copied().unwrap_or_default();
                LedgerRange { lo, hi, sum, erased }
            })
            .collect();
        for ranges in ranges.chunks(RANGES_MAX) {
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
    let starts: Vec<u64> = ranges.iter().map(|range| range.lo).collect();
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
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
    let found: BTreeMap<u64, RangeRow> = rows.into_iter().map(|row| (row.lo, row)).collect();
    for LedgerRange { lo, hi, sum, erased } in ranges {
        let row = found.get(lo);
        let count = row.map_or(0, |row| as_count(row.rows));
        verdict.rows += count;
        verdict.erased += erased.counts.stored;
        let what = || format!("partition {partition}, offsets [{lo}, {hi})");
        let kept = sum.counts.stored - erased.counts.stored;
        verdict.expect(what, ("rows", &count), ("counted as stored, less what was erased", &kept));
        verdict.expect(what, ("rows", &count), ("positions", &row.map_or(0, |row| as_count(row.positions))));
        let xor_hash = row.map_or(0, |row| row.xor_hash.cast_signed());
        let kept = sum.xor_hash ^ erased.xor_hash;
        verdict.expect(
            what,
            ("hash of rows", &xor_hash),
            ("hash in the ledger, less what was erased", &kept),
        );
    }
    Ok(())
}

async fn check_hours(books: &Books, client: &Client, verdict: &mut Verdict) -> Result<(), VerifyError> {
    let partitions = books.cursors.keys().next_back().map_or(0, |last| last + 1);
    let ends: Vec<u64> = (0..partitions)
        .map(|partition| Position::first_of(books.cursors.get(&partition).copied().unwrap_or(0)).number())
        .collect();
    if ends.is_empty() {
        return Ok(());
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
    for hour in hours {
        let billed = books.usage.get(&hour).copied().unwrap_or_default().stored;
        let kept = billed - erased.get(&hour).copied().unwrap_or(0);
        let rows = found.get(&hour).copied().unwrap_or(0);
        verdict.expect(|| format!("{hour:?}"), ("rows", &rows), ("billed, less what was erased", &kept));
    }
    Ok(())
}

fn as_count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
