//! `erased_range`: what was taken out of the rows, by range of the batch ledger.

use std::collections::BTreeMap;

use metering::ledger::Counts;
use processor::commit::{Contents, RangeSum};
use sqlx::PgExecutor;

use super::{as_number, offset, partition};

/// By partition and first offset.
pub(crate) async fn all(
    executor: impl PgExecutor<'_>,
) -> Result<BTreeMap<(u32, u64), RangeSum>, sqlx::Error> {
    let rows: Vec<(i32, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT partition, lo, sum(rows)::bigint, bit_xor(xor_hash), sum(hashed)::bigint, bit_xor(xor_contents)
         FROM erased_range GROUP BY 1, 2",
    )
    .fetch_all(executor)
    .await?;
    let sum = |(number, lo, stored, xor_hash, hashed, xor)| {
        let counts = Counts { stored, ..Counts::default() };
        let sum = RangeSum { counts, xor_hash, contents: Contents { hashed, xor } };
        ((partition(number), offset(lo)), sum)
    };
    Ok(rows.into_iter().map(sum).collect())
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
