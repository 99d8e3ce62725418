//! From a request to a row and a count.

use std::time::Duration;

use hyper::Method;
use metering::usage::of_tenant;
use schemas::time::Micros;
use service::clock::Clock;
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

/// Waits until so many events of the tenant are metered, and not one more.
pub(crate) async fn metered(river: &River, customer: &Customer, stored: i64) {
    let now = Micros(Clock::system().now_micros());
    eventually(&format!("{stored} events are metered"), Duration::from_secs(30), async || {
        of_tenant(&mut river.stores.pool.acquire().await.unwrap(), customer.tenant, now)
            .await
            .unwrap()
            .unwrap()
            .stored
            >= stored
    })
    .await;
    let usage = of_tenant(&mut river.stores.pool.acquire().await.unwrap(), customer.tenant, now)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(usage.stored, stored, "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_stored_and_metered_within_two_seconds() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let body = r#"{"id":"e-1","event":"order_completed","user_id":"u-1","timestamp":"2026-11-01T12:00:00.250Z",
        "properties":{"total":9007199254740993,"name":"\u00fc"},"context":{"ip":"192.0.2.1"},"group":"g"}"#;
    let reply = river.client(&customer.key).post_json("/v1/events", body).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    assert_eq!(reply.json(), serde_json::json!({"accepted": 1, "duplicate_of_request": 0, "rejected": []}));
    let took = eventually("the event is metered", Duration::from_secs(5), async || {
        river.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await == 1
    })
    .await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let row: (String, String, String, String, String, String, i64) = river
        .stores
        .clickhouse()
        .query(
            "SELECT event_id, event, user_id, properties, context, extra, toUnixTimestamp64Milli(timestamp)
             FROM events",
        )
        .fetch_one()
        .await
        .unwrap();
    let expected = (
        "e-1".to_owned(),
        "order_completed".to_owned(),
        "u-1".to_owned(),
        r#"{"total":9007199254740993,"name":"\u00fc"}"#.to_owned(),
        r#"{"ip":"192.0.2.1"}"#.to_owned(),
        r#"{"group":"g"}"#.to_owned(),
        1_793_534_400_250,
    );
    assert_eq!(row, expected);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_the_same_over_http() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    assert_eq!(river.client(&customer.key).post_ids(0..7).await.status, 202);
    metered(&river, &customer, 7).await;
    let usage = river.operator().send(Method::GET, "/v1/tenants/acme/usage", &[], "").await.json();
    assert_eq!((usage["stored"].as_i64(), usage["quota"].as_i64()), (Some(7), Some(100)), "{usage}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processors_share_the_partitions_and_count_everything_once() {
    let config = RiverConfig { partitions: 6, processors: 3, ..RiverConfig::default() };
    let river = River::start_with(config).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    for batch in 0..40 {
        // Each batch repeats half of the one before.
        let reply = client.post_ids(batch * 50..batch * 50 + 100).await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    metered(&river, &customer, 2_050).await;
    eventually("each processor owns two partitions", Duration::from_secs(30), async || {
        let owners = "SELECT count(*) FROM (SELECT owner FROM partition_cursor WHERE owner IS NOT NULL GROUP \
            BY owner HAVING count(*) = 2) AS pairs";
        river.stores.postgres_number(owners).await == 3
    })
    .await;
    assert_eq!(river.client(&customer.key).post_ids(0..2_050).await.status, 202);
    eventually("the repetitions are counted", Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 1_950 + 2_050
    })
    .await;
    metered(&river, &customer, 2_050).await;
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 2_050);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_river_rolls_up_and_reconciles_by_itself() {
    let hours_ago = Clock::at(Clock::system().now_micros() - 5 * 3_600_000_000);
    let quiet = vec![("WEIR_RECONCILE_MINUTES", "0".to_owned())];
    let config = RiverConfig { clock: hours_ago, settings: quiet, ..RiverConfig::default() };
    let river = River::start_with(config).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..9).await.status, 202);
    eventually("all is metered", Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await == 9
    })
    .await;
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, RiverConfig::default()).await;
    eventually("the hour is rolled up", Duration::from_secs(30), async || {
        river.stores.clickhouse_number("SELECT sum(events) FROM events_hourly FINAL").await == 9
    })
    .await;
    eventually("rows and ledger are compared", Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT count(ended_at) FROM reconciliation").await == 1
    })
    .await;
    river.stop().await;
}
