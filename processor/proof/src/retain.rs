//! Retention: what a plan keeps no longer is erased, by the same way as what a person wants gone. So is all that is
//! stored of a tenant that is erased.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Client;
use schemas::time::Micros;
use service::clock::Clock;
use service::store::StoreError;
use sqlx::PgPool;

use crate::db::tenant::{self, Retention};
use crate::db::{erasure, events};

/// Asks for the erasure of all whole days (UTC) that are older than their tenant's plan keeps them, and never younger
/// than the dedup window (keys of an erased tenant are refused since 30 days before): for how many tenants. Rows of a
/// day go at once, since each round rewrites the parts that hold them.
///
/// # Errors
/// [`StoreError`]: to be tried again.
pub(crate) async fn ask(
    pool: &PgPool,
    client: &Client,
    clock: &Clock,
    dedup_window: Duration,
) -> Result<u64, StoreError> {
    let now = clock.now_micros();
    let mut due: BTreeMap<Micros, Vec<i64>> = BTreeMap::new();
    for Retention { tenant, days, now: database_now } in tenant::retentions(pool).await? {
        if now.abs_diff(database_now) > Micros::DAY.unsigned_abs() {
            tracing::error!(
                "this process and Postgres do not agree on what day it is: nothing is removed for its age"
            );
            return Ok(0);
        }
        due.entry(before(now, days, dedup_window)).or_default().push(tenant);
    }
    let mut asked = 0;
    for (before, tenants) in due {
        let found = events::tenants_before(client, &tenants, before).await?;
        asked += erasure::ask_retention(pool, &found, before).await?;
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
