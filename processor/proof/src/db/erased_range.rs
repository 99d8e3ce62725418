//! `erased_range`: what was taken out of the rows, by range of the batch ledger.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use metering::ledger::Counts;
use processor::commit::{Contents, RangeSum};
use sqlx::{PgConnection, PgExecutor};

use super::{as_number, offset, partition};

/// Hands out what was taken out of each range, by partition and first offset: of all, or of a partition's ranges that
/// begin at `[first, last]`.
pub(crate) async fn each(
    tx: &mut PgConnection,
    part: Option<(u32, u64, u64)>,
    mut take: impl FnMut(u32, u64, RangeSum),
) -> Result<(), sqlx::Error> {
    let (of, first, last) = part.unwrap_or((0, 0, u64::MAX));
    let mut rows = sqlx::query_as(
        "SELECT partition, lo, sum(rows)::bigint, bit_xor(xor_hash), sum(hashed)::bigint, bit_xor(xor_contents)
         FROM erased_range WHERE $1 OR (partition = $2 AND lo BETWEEN $3 AND $4) GROUP BY 1, 2",
    )
    .bind(part.is_none())
    .bind(i32::try_from(of).unwrap_or(i32::MAX))
    .bind(as_number(first))
    .bind(as_number(last))
    .fetch(tx);
    while let Some(row) = rows.try_next().await? {
        let (number, lo, stored, xor_hash, hashed, xor): (i32, i64, i64, i64, i64, i64) = row;
        let counts = Counts { stored, ..Counts::default() };
        let sum = RangeSum { counts, xor_hash, contents: Contents { hashed, xor } };
        take(partition(number), offset(lo), sum);
    }
    Ok(())
}

/// Writes what a round takes out, by partition and first offset.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    round: i64,
    ranges: &BTreeMap<(u32, u64), RangeSum>,
) -> Result<(), sqlx::Error> {
    let partitions = ranges.keys().map(|key| i32::try_from(key.0).unwrap_or(i32::MAX));
    sqlx::query(
        "INSERT INTO erased_range (round, partition, lo, rows, xor_hash, hashed, xor_contents)
         SELECT $1, * FROM unnest(
             $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])",
    )
    .bind(round)
    .bind(partitions.collect::<Vec<i32>>())
    .bind(ranges.keys().map(|key| as_number(key.1)).collect::<Vec<i64>>())
    .bind(ranges.values().map(|sum| sum.counts.stored).collect::<Vec<i64>>())
    .bind(ranges.values().map(|sum| sum.xor_hash).collect::<Vec<i64>>())
    .bind(ranges.values().map(|sum| sum.contents.hashed).collect::<Vec<i64>>())
    .bind(ranges.values().map(|sum| sum.contents.xor).collect::<Vec<i64>>())
    .execute(executor)
    .await?;
    Ok(())
}
