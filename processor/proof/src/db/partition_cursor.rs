//! `partition_cursor`, which `processor` writes. A repair counts the generation of ids.

use std::collections::BTreeMap;

use sqlx::PgExecutor;

use super::{offset, partition};

/// By partition: the first offset that is not processed.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<BTreeMap<u32, u64>, sqlx::Error> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, next_offset FROM partition_cursor").fetch_all(executor).await?;
    Ok(rows.into_iter().map(|(number, next)| (partition(number), offset(next))).collect())
}

/// Says that ids became known behind a cursor: the partition's owner reads them again.
pub(crate) async fn count_generation(
    executor: impl PgExecutor<'_>,
    partition: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE partition_cursor SET ids_generation = ids_generation + 1 WHERE partition = $1")
        .bind(i64::from(partition))
        .execute(executor)
        .await?;
    Ok(())
}
