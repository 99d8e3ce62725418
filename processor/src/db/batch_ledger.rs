//! `batch_ledger`: what became of the events of each range of the log. Ranges of a partition have no gap and no
//! overlap.

use sqlx::PgConnection;

use super::{number, offset};

/// Events that end a row: small batches share one.
const ROW_EVENTS: i64 = 100_000;

/// What became of the events in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) partition: u32,
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) stored: i64,
    pub(crate) duplicate: i64,
    pub(crate) dead: i64,
    pub(crate) xor_hash: i64,
    pub(crate) hashed: i64,
    pub(crate) xor_contents: i64,
}

/// Adds ranges, at most one of a partition: each prolongs its partition's last row, or begins one where that row is
/// full, or where rows stand in it that a version before wrote, without hashes of their contents.
///
/// # Errors
/// If Postgres fails, or a range did not get into a row; nothing must be committed then.
pub(crate) async fn add(tx: &mut PgConnection, ranges: &[Row]) -> Result<(), sqlx::Error> {
    let numbers = |of: fn(&Row) -> i64| ranges.iter().map(of).collect::<Vec<i64>>();
    let added: i64 = sqlx::query_scalar(
        "WITH r AS (
             SELECT * FROM unnest(
                 $1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                 $8::bigint[], $9::bigint[])
                 AS r (partition, lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents)),
         prolonged AS (
             UPDATE batch_ledger b
             SET hi = r.hi, stored = b.stored + r.stored, duplicate = b.duplicate + r.duplicate,
                 dead = b.dead + r.dead, xor_hash = b.xor_hash # r.xor_hash,
                 hashed = b.hashed + r.hashed, xor_contents = b.xor_contents # r.xor_contents
             FROM r WHERE (b.partition, b.hi) = (r.partition, r.lo) AND b.stored + b.duplicate + b.dead < $10
               AND b.hashed = b.stored
             RETURNING b.partition),
         begun AS (
             INSERT INTO batch_ledger (partition, lo, hi, stored, duplicate, dead, xor_hash, hashed, xor_contents)
             SELECT * FROM r WHERE partition NOT IN (SELECT partition FROM prolonged)
             RETURNING partition)
         SELECT (SELECT count(*) FROM prolonged) + (SELECT count(*) FROM begun)",
    )
    .bind(ranges.iter().map(|row| number(row.partition)).collect::<Vec<i32>>())
    .bind(numbers(|row| offset(row.lo)))
    .bind(numbers(|row| offset(row.hi)))
    .bind(numbers(|row| row.stored))
    .bind(numbers(|row| row.duplicate))
    .bind(numbers(|row| row.dead))
    .bind(numbers(|row| row.xor_hash))
    .bind(numbers(|row| row.hashed))
    .bind(numbers(|row| row.xor_contents))
    .bind(ROW_EVENTS)
    .fetch_one(tx)
    .await?;
    service::store::changed_count(added.unsigned_abs(), ranges.len())
}
