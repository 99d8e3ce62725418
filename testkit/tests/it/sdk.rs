//! Real SDKs, of which only host and key are changed.

use std::path::Path;

use testkit::River;
use testkit::river::Customer;
use testkit::stores::required;

use crate::river::metered;

const EVENTS: i64 = 10_000;

async fn segment_python(river: &River, customer: &Customer) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/segment_python.py");
    let output = tokio::process::Command::new(required("WEIR_TEST_VENV"))
        .arg(script)
        .args([
            format!("http://{}", river.ingest),
            customer.key.clone(),
            EVENTS.to_string(),
            "run".to_owned(),
        ])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_python_sdk_is_stored_once_however_often_it_sends() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(1_000_000)).await;
    segment_python(&river, &customer).await;
    metered(&river, &customer, EVENTS).await;
    let rows = |condition: &str| format!("SELECT count() FROM events WHERE {condition}");
    let stores = &river.stores;
    assert_eq!(stores.clickhouse_number(&rows("1")).await, 10_000);
    assert_eq!(stores.clickhouse_number("SELECT uniqExact(event_id) FROM events").await, 10_000);
    let tracked = rows("type = 'track' AND event = 'Order Completed' AND JSONHas(properties, 'größe')");
    assert_eq!(stores.clickhouse_number(&tracked).await, 3_334);
    assert_eq!(
        stores.clickhouse_number(&rows("type = 'identify' AND JSONHas(properties, 'plan')")).await,
        3_333
    );
    assert_eq!(stores.clickhouse_number(&rows("type = 'page' AND event = 'Home'")).await, 3_333);
    assert_eq!(stores.clickhouse_number(&rows("user_id = '' OR flags != 0")).await, 0);

    segment_python(&river, &customer).await;
    testkit::eventually(
        "the second run is counted as duplicates",
        std::time::Duration::from_secs(30),
        async || stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == EVENTS,
    )
    .await;
    metered(&river, &customer, EVENTS).await;
    assert_eq!(stores.clickhouse_number(&rows("1")).await, 10_000);
    river.stop().await;
}
