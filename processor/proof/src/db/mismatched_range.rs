//! `mismatched_range`: ranges of the ledger whose rows did not agree when somebody last looked.

use sqlx::PgExecutor;

use super::as_number;
use crate::books::LedgerRange;

/// How many there are.
pub(crate) async fn count(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM mismatched_range").fetch_one(executor).await
}

/// Notes what is wrong with a range.
pub(crate) async fn note(
    executor: impl PgExecutor<'_>,
    partition: i32,
    range: &LedgerRange,
    detail: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO mismatched_range (partition, lo, hi, detail) VALUES ($1, $2, $3, $4)
         ON CONFLICT (partition, lo) DO UPDATE SET hi = excluded.hi, detail = excluded.detail",
    )
    .bind(partition)
    .bind(as_number(range.lo))
    .bind(as_number(range.hi))
    .bind(detail)
    .execute(executor)
    .await?;
    Ok(())
}

/// These ranges agree.
pub(crate) async fn forget(
    executor: impl PgExecutor<'_>,
    partition: i32,
    starts: impl Iterator<Item = u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM mismatched_range WHERE partition = $1 AND lo = ANY($2)")
        .bind(partition)
        .bind(starts.map(as_number).collect::<Vec<i64>>())
        .execute(executor)
        .await?;
    Ok(())
}

/// All ranges agree.
pub(crate) async fn forget_all(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM mismatched_range").execute(executor).await?;
    Ok(())
}
