//! A clock that jumps: an hour, a day, and back again.

use std::time::Duration;

use schemas::time::Micros;
use service::clock::Clock;
use testkit::river::RiverConfig;
use testkit::{River, eventually};

/// 2026-11-30 23:30 UTC: half an hour before a period ends.
const BEFORE: i64 = 1_796_081_400 * Micros::SECOND;

async fn stored(river: &River, expected: i64) {
    eventually(&format!("{expected} events are metered"), Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await
            >= expected
    })
    .await;
    let metered = river.stores.postgres_number("SELECT sum(stored)::bigint FROM usage_hour").await;
    assert_eq!(metered, expected);
    let rows = river.stores.clickhouse_number("SELECT count() FROM events FINAL").await;
    assert_eq!(i64::try_from(rows).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_an_hour_a_day_and_back_stores_and_meters_once_and_passes_no_cap() {
    let clock = Clock::at(BEFORE);
    let river = River::start_with(RiverConfig { clock: clock.clone(), ..RiverConfig::default() }).await;
    let customer = river.customer("capped", Some(10)).await;
    let client = river.client(&customer.key);
    let post = async |ids: std::ops::Range<u32>| client.post_ids(ids).await;
    assert_eq!(post(0..4).await.json()["accepted"], 4);

    // Backwards within the period: the same ids are duplicates still.
    clock.set(BEFORE - 6 * Micros::HOUR);
    assert_eq!(post(2..6).await.json()["accepted"], 4);
    stored(&river, 6).await;
    eventually("the two duplicates have given their quota back", Duration::from_secs(20), async || {
        post(6..7).await.status == 202
    })
    .await;
    assert_eq!(post(7..20).await.json()["accepted"], 3);
    assert_eq!(post(20..21).await.status, 402);

    // An hour on another period has begun, with a quota of its own.
    clock.set(BEFORE + Micros::HOUR);
    assert_eq!(post(100..106).await.json()["accepted"], 6);
    // A day on, and back to before that period: what was begun goes on, no quota is given twice.
    clock.set(BEFORE + 24 * Micros::HOUR);
    assert_eq!(post(106..108).await.json()["accepted"], 2);
    clock.set(BEFORE);
    assert_eq!(post(108..120).await.json()["accepted"], 2);
    assert_eq!(post(120..121).await.status, 402);
    stored(&river, 20).await;
    let periods: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT sum(u.stored)::bigint, min(q.granted), extract(epoch FROM u.period_start)::bigint
         FROM usage_hour u JOIN quota_period q USING (tenant_id, period_start)
         GROUP BY u.period_start ORDER BY u.period_start",
    )
    .fetch_all(&river.stores.pool)
    .await
    .unwrap();
    let (november, december) = (1_793_491_200, 1_796_083_200);
    assert_eq!(periods, [(10, 10, november), (10, 10, december)]);
    river.stop().await;
}
