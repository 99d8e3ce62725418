//! Counting the rows of a round as `verify` will miss them.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde::Deserialize;
use sqlx::PgPool;

use crate::error::EraseError;
use crate::round::Round;
use processor::commit::RangeSum;

/// Ledger ranges of one query: it names each.
const RANGES_MAX: usize = 2_000;

/// What a round takes out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// By partition and first offset of a range of the batch ledger: `counts.stored` and hash.
    pub(super) ranges: BTreeMap<(u32, u64), RangeSum>,
    pub(super) hours: BTreeMap<(TenantId, ProjectId, Micros), i64>,
    /// By erasure.
    pub(super) events: BTreeMap<i64, i64>,
}

#[derive(Row, Deserialize)]
struct Span {
    log_partition: u32,
    first: u64,
    last: u64,
}

#[derive(Row, Deserialize)]
struct RangeRow {
    lo: u64,
    rows: u64,
    xor_hash: u64,
}

#[derive(Row, Deserialize)]
struct HourRow {
    tenant_id: i64,
    project_id: i64,
    hour: i64,
    rows: u64,
}

#[derive(Row, Deserialize)]
struct WhoseRow {
    whose: i64,
    rows: u64,
}

/// Counts the rows of `round`. All of them stand before the cursors, so each has its range in the ledger, and the
/// ranges' beginnings stay.
///
/// # Errors
/// [`EraseError`]; nothing is known then.
pub(super) async fn count(pool: &PgPool, client: &Client, round: &Round) -> Result<Taken, EraseError> {
    let rows = round.each_once();
    let mut taken = Taken::default();
    let spans: Vec<Span> = client
        .query(&format!(
            "SELECT log_partition, min(position) AS first, max(position) AS last FROM ({rows}) GROUP BY log_partition"
        ))
        .fetch_all()
        .await?;
    for span in &spans {
        count_ranges(pool, client, &rows, span, &mut taken).await?;
    }
    let hours: Vec<HourRow> = client
        .query(&format!(
            "SELECT tenant_id, project_id, toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000000 AS hour,
                    count() AS rows FROM ({rows}) GROUP BY tenant_id, project_id, hour"
        ))
        .fetch_all()
        .await?;
    for row in hours {
        let hour = (TenantId(row.tenant_id), ProjectId(row.project_id), Micros(row.hour));
        taken.hours.insert(hour, as_count(row.rows));
    }
    let whose: Vec<WhoseRow> = client
        .query(&format!("SELECT whose, count() AS rows FROM ({rows}) GROUP BY whose"))
        .fetch_all()
        .await?;
    for row in whose {
        if let Some(erasure) = round.erasure(row.whose) {
            taken.events.insert(erasure, as_count(row.rows));
        }
    }
    let by_range: i64 = taken.ranges.values().map(|sum| sum.counts.stored).sum();
    let by_hour: i64 = taken.hours.values().sum();
    let by_erasure: i64 = taken.events.values().sum();
    // Rows of retention are counted where others may be inserted: by a repair. They wait for the next round.
    if by_range != by_hour || by_hour != by_erasure {
        return Err(EraseError::Changing { by_range, by_hour, by_erasure });
    }
    Ok(taken)
}

async fn count_ranges(
    pool: &PgPool,
    client: &Client,
    rows: &str,
    span: &Span,
    taken: &mut Taken,
) -> Result<(), EraseError> {
    let offset = |position: u64| i64::try_from(Position::from_number(position).offset()).unwrap_or(i64::MAX);
    let starts: Vec<i64> = sqlx::query_scalar(
        "SELECT lo FROM batch_ledger WHERE partition = $1 AND hi > $2 AND lo <= $3 ORDER BY lo",
    )
    .bind(i64::from(span.log_partition))
    .bind(offset(span.first))
    .bind(offset(span.last))
    .fetch_all(pool)
    .await?;
    let starts: Vec<u64> = starts.into_iter().map(|lo| u64::try_from(lo).unwrap_or_default()).collect();
    let mut chunks = starts.chunks(RANGES_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let Some(first) = chunk.first() else { continue };
        let end = chunks
            .peek()
            .and_then(|next| next.first())
            .map_or(u64::MAX, |next| Position::first_of(*next).number());
        let sums: Vec<RangeRow> = client
            .query(&format!(
                "SELECT roundDown(bitShiftRight(position, 16), ?) AS lo, count() AS rows,
                        groupBitXor(toUInt64(bitAnd(event_hash, toUInt128(18446744073709551615)))) AS xor_hash
                 FROM ({rows}) WHERE log_partition = ? AND position >= ? AND position < ? GROUP BY lo"
            ))
            .bind(chunk)
            .bind(span.log_partition)
            .bind(Position::first_of(*first).number())
            .bind(end)
            .fetch_all()
            .await?;
        for row in sums {
            let mut sum = RangeSum { xor_hash: row.xor_hash.cast_signed(), ..RangeSum::default() };
            sum.counts.stored = as_count(row.rows);
            taken.ranges.insert((span.log_partition, row.lo), sum);
        }
    }
    Ok(())
}

fn as_count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
