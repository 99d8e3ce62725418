//! `batch_ledger`, which `processor` writes.

use futures_util::TryStreamExt;
use metering::ledger::Counts;
use processor::commit::{Contents, RangeSum};
use sqlx::{PgConnection, PgExecutor};

use super::{as_number, offset, partition};
use crate::books::LedgerRange;

/// Beginning, end, stored, duplicate, dead, hash; how many have a hash of their contents, and the hash of these.
type Row = (i64, i64, i64, i64, i64, i64, i64, i64);
/// The same behind the partition.
type PlacedRow = (i32, i64, i64, i64, i64, i64, i64, i64, i64);

fn range((lo, hi, stored, duplicate, dead, xor_hash, hashed, xor): Row) -> LedgerRange {
    let counts = Counts { stored, duplicate, dead };
    let sum = RangeSum { counts, xor_hash, contents: Contents { hashed, xor } };
    LedgerRange { lo: offset(lo), hi: offset(hi), sum, erased: RangeSum::default() }
}

/// Hands out all ranges, in the order of partition and offset, as they come.
pub(crate) async fn each(
    tx: &mut PgConnection,
    mut take: impl FnMut(u32, LedgerRange),
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_as(
        "SELECT partition, lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents FROM batch_ledger
         ORDER BY partition, lo",
    )
    .fetch(tx);
    while let Some(row) = rows.try_next().await? {
        let (number, lo, hi, stored, duplicate, dead, xor_hash, hashed, xor): PlacedRow = row;
        take(partition(number), range((lo, hi, stored, duplicate, dead, xor_hash, hashed, xor)));
    }
    Ok(())
}

/// The partition's ranges that have any of the offsets `[from, to)`, in order.
pub(crate) async fn overlapping(
    executor: impl PgExecutor<'_>,
    partition: u32,
    (from, to): (u64, u64),
) -> Result<Vec<LedgerRange>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents FROM batch_ledger
         WHERE partition = $1 AND hi > $2 AND lo < $3 ORDER BY lo",
    )
    .bind(i32::try_from(partition).unwrap_or(i32::MAX))
    .bind(as_number(from))
    .bind(as_number(to))
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(range).collect())
}

/// How many ranges the partition has.
pub(crate) async fn count(executor: impl PgExecutor<'_>, partition: i32) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM batch_ledger WHERE partition = $1")
        .bind(partition)
        .fetch_one(executor)
        .await
}

/// The first offsets of the ranges that have any of the offsets from `first` to `last`, in order.
pub(crate) async fn starts(
    executor: impl PgExecutor<'_>,
    partition: u32,
    first: u64,
    last: u64,
) -> Result<Vec<u64>, sqlx::Error> {
    let starts: Vec<i64> = sqlx::query_scalar(
        "SELECT lo FROM batch_ledger WHERE partition = $1 AND hi > $2 AND lo <= $3 ORDER BY lo",
    )
    .bind(i64::from(partition))
    .bind(as_number(first))
    .bind(as_number(last))
    .fetch_all(executor)
    .await?;
    Ok(starts.into_iter().map(offset).collect())
}

/// Ranges of the partition `$1`, in order, `$2` at most.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents FROM batch_ledger
             WHERE partition = $1 AND ",
            $condition,
            " ORDER BY lo LIMIT $2"
        )
    };
}

/// The first ranges that end after `end`.
pub(crate) async fn after(
    executor: impl PgExecutor<'_>,
    partition: i32,
    end: i64,
    most: i64,
) -> Result<Vec<LedgerRange>, sqlx::Error> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("hi > $3")).bind(partition).bind(most).bind(end).fetch_all(executor).await?;
    Ok(rows.into_iter().map(range).collect())
}

/// The first ranges that lie within the offsets `[from, to)`.
pub(crate) async fn within(
    executor: impl PgExecutor<'_>,
    partition: i32,
    (from, to): (i64, i64),
    most: i64,
) -> Result<Vec<LedgerRange>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(select!("lo >= $3 AND hi <= $4"))
        .bind(partition)
        .bind(most)
        .bind(from)
        .bind(to)
        .fetch_all(executor)
        .await?;
    Ok(rows.into_iter().map(range).collect())
}

/// The range that begins at `lo`.
pub(crate) async fn at(
    executor: impl PgExecutor<'_>,
    partition: i32,
    lo: u64,
) -> Result<Option<LedgerRange>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(select!("lo = $3"))
        .bind(partition)
        .bind(1_i64)
        .bind(as_number(lo))
        .fetch_optional(executor)
        .await?;
    Ok(row.map(range))
}

/// The first ranges whose rows did not agree when reconciliation last looked.
pub(crate) async fn mismatched(
    executor: impl PgExecutor<'_>,
    partition: i32,
    most: i64,
) -> Result<Vec<LedgerRange>, sqlx::Error> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("lo IN (SELECT m.lo FROM mismatched_range m WHERE m.partition = $1)"))
            .bind(partition)
            .bind(most)
            .fetch_all(executor)
            .await?;
    Ok(rows.into_iter().map(range).collect())
}
