//! Retention: what a plan keeps no longer is erased, by the same way as what a person wants gone.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Client;
use schemas::time::Micros;
use service::clock::Clock;
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};

use crate::error::EraseError;

/// Asks for the erasure of all whole days (UTC) that are older than their tenant's plan keeps them, and never younger
/// than the dedup window: for how many tenants. Rows of a day go at once, since each round rewrites the parts that hold
/// them.
///
/// # Errors
/// [`EraseError`]: to be tried again.
pub(crate) async fn ask(
    pool: &PgPool,
    client: &Client,
    clock: &Clock,
    dedup_window: Duration,
) -> Result<u64, EraseError> {
    let now = clock.now_micros();
    let tenants: Vec<(i64, i32, i64)> = sqlx::query_as(
        "SELECT t.id, p.retention_days, (extract(epoch FROM now()) * 1000000)::bigint
         FROM tenant t JOIN plan p ON p.id = t.plan_id WHERE p.retention_days IS NOT NULL",
    )
    .fetch_all(pool)
    .await?;
    let mut due: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (tenant, days, database_now) in tenants {
        if now.abs_diff(database_now) > Micros::DAY.unsigned_abs() {
            tracing::error!(
                "this process and Postgres do not agree on what day it is: nothing is removed for its age"
            );
            return Ok(0);
        }
        due.entry(before(now, days, dedup_window).0).or_default().push(tenant);
    }
    let mut asked = 0;
    for (before, tenants) in due {
        let found: Vec<i64> = client
            .query("SELECT DISTINCT tenant_id FROM events WHERE tenant_id IN ? AND received_at < fromUnixTimestamp64Micro(toInt64(?))")
            .bind(&tenants)
            .bind(before)
            .fetch_all()
            .await?;
        let inserted = sqlx::query(
            "INSERT INTO erasure (tenant_id, kind, before) SELECT unnest($1::bigint[]), 'retention', $2
             ON CONFLICT DO NOTHING",
        )
        .bind(&found)
        .bind(DateTime::<Utc>::from_timestamp_micros(before))
        .execute(pool)
        .await?;
        asked += inserted.rows_affected();
    }
    Ok(asked)
}

/// The end of the last day that is kept no longer.
fn before(now: i64, days: i32, dedup_window: Duration) -> Micros {
    let window = i64::try_from(dedup_window.as_micros()).unwrap_or(i64::MAX);
    let kept = i64::from(days).saturating_mul(Micros::DAY).max(window);
    Micros(now.saturating_sub(kept).div_euclid(Micros::DAY).saturating_mul(Micros::DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_go_and_never_one_within_retention_or_window() {
        let week = Duration::from_hours(7 * 24);
        let noon = 100 * Micros::DAY + Micros::DAY / 2;
        assert_eq!(before(noon, 10, week), Micros(90 * Micros::DAY));
        assert_eq!(before(100 * Micros::DAY, 10, week), Micros(90 * Micros::DAY));
        assert_eq!(before(100 * Micros::DAY - 1, 10, week), Micros(89 * Micros::DAY));
        assert_eq!(before(noon, 7, week * 2), Micros(86 * Micros::DAY), "the window is longer");
    }
}
