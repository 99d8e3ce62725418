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
    // A day on, and back to before that period: the slice goes back with the clock, and no quota is given twice.
    clock.set(BEFORE + 24 * Micros::HOUR);
    assert_eq!(post(106..108).await.json()["accepted"], 2);
    clock.set(BEFORE);
    assert_eq!(post(108..120).await.status, 402, "that period is used up still");
    clock.set(BEFORE + Micros::HOUR);
    // What the slice had of this period was given back when it left, or is about to be.
    let (mut accepted, mut next) = (0, 200);
    eventually("the rest of the period's quota is there", Duration::from_secs(20), async || {
        accepted += post(next..next + 3).await.json()["accepted"].as_u64().unwrap_or(0);
        next += 3;
        accepted >= 2
    })
    .await;
    assert_eq!((accepted, post(120..121).await.status), (2, 402));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_forty_days_for_one_request_bills_in_no_period_that_has_not_begun() {
    let clock = Clock::system();
    let river = River::start_with(RiverConfig { clock: clock.clone(), ..RiverConfig::default() }).await;
    let clients = [river.customer("capped", Some(10)).await, river.customer("free", None).await]
        .map(|customer| river.client(&customer.key));
    for client in &clients {
        assert_eq!(client.post_ids(0..4).await.json()["accepted"], 4);
    }
    for jump in [40 * 24 * Micros::HOUR, -40 * 24 * Micros::HOUR] {
        clock.mislead(jump);
        for client in &clients {
            let refused = client.post_ids(4..6).await;
            assert_eq!((refused.status, refused.code()), (503, "unavailable".to_owned()), "{refused:?}");
            assert!(refused.headers.get("retry-after").is_some(), "{refused:?}");
            assert!(refused.json()["detail"].as_str().unwrap().contains("clock"), "{refused:?}");
        }
        clock.mislead(0);
        for client in &clients {
            assert_eq!(client.post_ids(4..6).await.status, 202, "at once");
        }
    }
    // Six are stored and two are duplicates, which come back.
    let [capped, _] = &clients;
    let (mut accepted, mut next) = (0, 100);
    eventually("the cap is reached", Duration::from_secs(20), async || {
        accepted += capped.post_ids(next..next + 3).await.json()["accepted"].as_u64().unwrap_or(0);
        next += 3;
        accepted >= 4
    })
    .await;
    assert_eq!((accepted, capped.post_ids(["late"]).await.status), (4, 402));
    stored(&river, 16).await;
    let number = async |query| river.stores.postgres_number(query).await;
    assert_eq!(number("SELECT count(*) FROM usage_hour WHERE period_start > now() OR hour > now()").await, 0);
    assert_eq!(number("SELECT count(*) FROM quota_period WHERE period_start > now()").await, 0);
    assert_eq!(number("SELECT count(DISTINCT period_start) FROM usage_hour").await, 1);
    eventually("everything is verified", Duration::from_secs(20), async || {
        river.verdict().await.accepted == 20
    })
    .await;
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!((verdict.stored, verdict.duplicate, verdict.rows), (16, 4, 16));
    river.stop().await;
}
