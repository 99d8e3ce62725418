//! Real SDKs, of which only host and key are changed.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use testkit::river::Customer;
use testkit::stores::required;
use testkit::{Fault, FaultProxy, River};

use crate::river::metered;

const EVENTS: i64 = 1_000;

/// An SDK, by its script in `testkit/sdk`.
struct Sdk {
    script: &'static str,
    /// Arguments behind host, key and count.
    more: &'static [&'static str],
    /// What weir answers if all is well.
    success: u16,
    /// Rows that are as the script means them: so many of each thousand.
    good_rows: &'static [(&'static str, u64)],
}

const SEGMENT: Sdk = Sdk {
    script: "segment_python.py",
    more: &["run"],
    success: 200,
    good_rows: &[
        ("type = 'track' AND event = 'Order Completed' AND JSONHas(properties, 'größe')", 334),
        ("type = 'identify' AND JSONHas(properties, 'plan')", 333),
        ("type = 'page' AND event = 'Home'", 333),
    ],
};

const RUDDER: Sdk = Sdk {
    script: "rudder_python.py",
    more: &[],
    success: 200,
    good_rows: &[
        ("type = 'track' AND event = 'Order Completed' AND JSONHas(properties, 'größe')", 334),
        ("type = 'identify' AND JSONExtractString(context, 'traits', 'plan') = 'pro'", 333),
        ("type = 'group' AND JSONHas(extra, 'groupId')", 333),
    ],
};

const POSTHOG: Sdk = Sdk {
    script: "posthog_python.py",
    more: &["v0"],
    success: 200,
    good_rows: &[
        ("type = 'track' AND event = 'Order Completed' AND JSONHas(properties, 'größe')", 334),
        ("event = '$set' AND JSONExtractString(extra, '$set', 'plan') = 'pro'", 333),
        ("type = 'page' AND event = '$pageview' AND JSONHas(properties, '$current_url')", 333),
    ],
};

const POSTHOG_V1: Sdk = Sdk {
    script: "posthog_python.py",
    more: &["v1"],
    success: 200,
    good_rows: &[
        ("type = 'track' AND event = 'Order Completed' AND JSONHas(properties, 'größe')", 334),
        ("event = '$set' AND JSONExtractString(properties, '$set', 'plan') = 'pro'", 333),
        ("type = 'page' AND event = '$pageview' AND JSONHas(properties, '$current_url')", 333),
    ],
};

const CLOUDEVENTS: Sdk = Sdk {
    script: "cloudevents_python.py",
    more: &[],
    success: 204,
    good_rows: &[(
        "event = 'order.placed' AND JSONExtractString(properties, 'größe') = 'ü'
         AND JSONExtractString(extra, 'region') = 'zürich' AND startsWith(event_id, '/café/orders e ')",
        1_000,
    )],
};

async fn run(sdk: &Sdk, address: SocketAddr, customer: &Customer) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(sdk.script);
    let output = tokio::process::Command::new(required("WEIR_TEST_VENV"))
        .arg(script)
        .args([format!("http://{address}"), customer.key.clone(), EVENTS.to_string()])
        .args(sdk.more)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}: {output:?}", sdk.script);
}

async fn duplicates(river: &River) -> i64 {
    river.stores.postgres_number("SELECT coalesce(sum(duplicate), 0)::bigint FROM usage_hour").await
}

/// Every event is a row, once, and looks as it should.
async fn stored_once_each(sdk: &Sdk, river: &River, customer: &Customer) {
    metered(river, customer, EVENTS).await;
    let stores = &river.stores;
    let rows = |condition: &str| format!("SELECT count() FROM events WHERE {condition}");
    assert_eq!(stores.clickhouse_number(&rows("1")).await, 1_000);
    assert_eq!(stores.clickhouse_number("SELECT uniqExact(event_id) FROM events").await, 1_000);
    for (condition, count) in sdk.good_rows {
        assert_eq!(stores.clickhouse_number(&rows(condition)).await, *count, "{condition}");
    }
    assert_eq!(stores.clickhouse_number(&rows("user_id = '' OR flags != 0")).await, 0);
    let leaked = format!("position(concat(properties, context, extra), '{}') > 0", customer.key);
    assert_eq!(stores.clickhouse_number(&rows(&leaked)).await, 0);
}

/// Nothing is in the way: each request succeeds at once, and none is sent again.
async fn is_stored_once_and_never_retried(sdk: Sdk) {
    let river = River::start().await;
    let customer = river.customer("acme", Some(EVENTS)).await;
    let proxy = FaultProxy::start(river.ingest, |_| Fault::None).await;
    run(&sdk, proxy.address, &customer).await;
    stored_once_each(&sdk, &river, &customer).await;
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.status == Some(sdk.success)), "{seen:?}");
    assert_eq!(duplicates(&river).await, 0);
    river.stop().await;
}

/// Requests are refused, connections reset and acknowledgements lost, but never so often in a row that the SDK gives
/// up.
async fn survives_what_lies_between(sdk: Sdk) {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100 * EVENTS)).await;
    let script = [
        Fault::ReplyLost,
        Fault::None,
        Fault::Refused(503, Some(1)),
        Fault::Reset,
        Fault::None,
        Fault::Refused(429, Some(1)),
        Fault::None,
        Fault::Refused(503, None),
        Fault::ReplyLost,
    ];
    let proxy =
        FaultProxy::start(river.ingest, move |number| script.get(number).copied().unwrap_or(Fault::None))
            .await;
    run(&sdk, proxy.address, &customer).await;
    stored_once_each(&sdk, &river, &customer).await;
    let seen = proxy.seen();
    assert!(seen.len() > script.len(), "every fault was met: {seen:?}");
    testkit::eventually("what was sent again is a duplicate", Duration::from_secs(30), async || {
        duplicates(&river).await > 0
    })
    .await;
    stored_once_each(&sdk, &river, &customer).await;
    river.stop().await;
}

macro_rules! sdk_tests {
    ($($name:ident: $sdk:expr;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn is_stored_once_and_never_retried() {
                super::is_stored_once_and_never_retried($sdk).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn survives_what_lies_between() {
                super::survives_what_lies_between($sdk).await;
            }
        })*
    };
}

sdk_tests! {
    segment_python: SEGMENT;
    rudder_python: RUDDER;
    posthog_python: POSTHOG;
    posthog_python_v1: POSTHOG_V1;
    cloudevents_python: CLOUDEVENTS;
}

/// Ids that the application chose come again a day later: nothing is stored or billed twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_with_the_same_ids_is_counted_as_duplicates() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(10 * EVENTS)).await;
    run(&SEGMENT, river.ingest, &customer).await;
    run(&SEGMENT, river.ingest, &customer).await;
    testkit::eventually("the second run is counted", Duration::from_secs(30), async || {
        duplicates(&river).await == EVENTS
    })
    .await;
    stored_once_each(&SEGMENT, &river, &customer).await;
    river.stop().await;
}
