//! `rollup_hour`: the computed hours, with what the ledgers said just before.

use schemas::time::Micros;
use sqlx::PgExecutor;
use sqlx::types::chrono::{DateTime, Utc};

use super::timestamp;

/// An hour that has changed, with its sums in the ledgers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stale {
    pub(crate) hour: DateTime<Utc>,
    stored: i64,
    erased: i64,
}

service::from_row!(Stale { hour, stored, erased });

/// Marks hours of `changed`. The new version keeps out a process that computes one of them from what was before.
macro_rules! mark {
    () => {
        " INSERT INTO rollup_hour AS r (hour, stored, erased, version)
          SELECT hour, -1, -1, nextval('rollup_version') FROM changed
          ON CONFLICT (hour) DO UPDATE SET stored = -1, erased = -1, version = excluded.version"
    };
}

/// Hours of `[from, to)` that have changed, and those before that are marked.
pub(crate) async fn stale(
    executor: impl PgExecutor<'_>,
    from: Micros,
    to: Micros,
) -> Result<Vec<Stale>, sqlx::Error> {
    sqlx::query_as(
        "WITH looked AS (
             SELECT hour, sum(stored)::bigint AS stored FROM (
                 SELECT hour, stored FROM usage_hour WHERE hour >= $1 AND hour < $2
                 UNION ALL
                 SELECT u.hour, u.stored FROM rollup_hour r JOIN usage_hour u USING (hour)
                 WHERE r.stored < 0 AND r.hour < $1) AS counted
             GROUP BY hour),
         erased AS (
             SELECT hour, sum(rows)::bigint AS rows FROM erased_hour
             WHERE hour IN (SELECT hour FROM looked) GROUP BY hour)
         SELECT l.hour, l.stored, coalesce(e.rows, 0) AS erased
         FROM looked l LEFT JOIN erased e USING (hour) LEFT JOIN rollup_hour r USING (hour)
         WHERE (l.stored, coalesce(e.rows, 0)) IS DISTINCT FROM (r.stored, r.erased)
         ORDER BY l.hour DESC",
    )
    .bind(timestamp(from))
    .bind(timestamp(to))
    .fetch_all(executor)
    .await
}

/// A version that is higher than all before.
pub(crate) async fn next_version(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT nextval('rollup_version')").fetch_one(executor).await
}

/// Notes that an hour is computed under `version`, unless it is under a higher one.
pub(crate) async fn note(
    executor: impl PgExecutor<'_>,
    computed: Stale,
    version: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO rollup_hour AS r (hour, stored, erased, version) VALUES ($1, $2, $3, $4)
         ON CONFLICT (hour) DO UPDATE
         SET stored = excluded.stored, erased = excluded.erased, version = excluded.version
         WHERE r.version < excluded.version",
    )
    .bind(computed.hour)
    .bind(computed.stored)
    .bind(computed.erased)
    .bind(version)
    .execute(executor)
    .await?;
    Ok(())
}

/// Marks all hours in `[from, to)`: how many that are.
pub(crate) async fn mark(
    executor: impl PgExecutor<'_>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let marked = sqlx::query(concat!(
        "WITH changed AS (SELECT DISTINCT hour FROM usage_hour WHERE hour >= $1 AND hour < $2)",
        mark!()
    ))
    .bind(from)
    .bind(to)
    .execute(executor)
    .await?;
    Ok(marked.rows_affected())
}

/// Marks the hours of a round of erasures.
pub(crate) async fn mark_erased(executor: impl PgExecutor<'_>, round: i64) -> Result<(), sqlx::Error> {
    sqlx::query(concat!("WITH changed AS (SELECT DISTINCT hour FROM erased_hour WHERE round = $1)", mark!()))
        .bind(round)
        .execute(executor)
        .await?;
    Ok(())
}
