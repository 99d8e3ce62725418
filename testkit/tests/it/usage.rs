//! Usage over HTTP: by project as it is billed, by event as the roll-up counts it, and for those who see some projects.

use std::time::Duration;

use hyper::Method;
use proof::rollup::Roller;
use serde_json::{Value, json};
use service::clock::Clock;
use testkit::river::RiverConfig;
use testkit::{River, eventually};

const HOUR: i64 = 3_600_000_000;

async fn usage(river: &River, tenant: &str, query: &str) -> Value {
    let path = format!("/v1/tenants/{tenant}/usage?{query}");
    let reply = river.operator().send(Method::GET, &path, &[], "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// What each item is of, and what was stored.
fn items(series: &Value, of: &str) -> Vec<(String, i64)> {
    let items = series["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| (item[of].as_str().unwrap().to_owned(), item["stored"].as_i64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_shown_by_project_and_by_event_and_each_tenant_sees_its_own() {
    let now = Clock::system().now_micros();
    let clock = Clock::at(now - 5 * HOUR);
    let config = RiverConfig { clock: clock.clone(), rolls_up: false, ..RiverConfig::default() };
    let river = River::start_with(config).await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    let staging = river.key(acme.tenant, "staging").await;
    for (key, name, count) in
        [(&acme.key, "seen", 3), (&acme.key, "it's", 1), (&staging, "seen", 2), (&other.key, "seen", 7)]
    {
        let events: Vec<Value> = (0..count).map(|_| json!({"event": name})).collect();
        assert_eq!(river.client(key).post_json("/v1/events", json!(events).to_string()).await.status, 202);
    }
    eventually("all is metered", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await == 13
    })
    .await;
    clock.set(now);
    Roller::new(river.stores.processor.clone(), river.stores.clickhouse(), clock).turn(true).await.unwrap();
    let day = {
        let at = |micros: i64| {
            chrono::DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%dT%H:%M:%SZ")
        };
        format!("from={}&to={}&by=month", at(now - 24 * HOUR), at(now + HOUR))
    };
    let by_project = usage(&river, "acme", &format!("{day}&group=project")).await;
    assert_eq!(by_project["stored"], 6);
    let mut projects = items(&by_project, "project_name");
    projects.sort();
    assert_eq!(projects, [("default".to_owned(), 4), ("staging".to_owned(), 2)]);
    assert!(by_project["items"][0]["project"].as_str().unwrap().starts_with("prj_"));
    let by_event = usage(&river, "acme", &format!("{day}&group=event")).await;
    let mut events = items(&by_event, "event");
    events.sort();
    assert_eq!(events, [("it's".to_owned(), 1), ("seen".to_owned(), 5)]);
    assert_eq!(by_event["items"][0]["at"], by_project["items"][0]["at"], "both stores begin months alike");
    assert_eq!(items(&usage(&river, "other", &format!("{day}&group=event")).await, "event")[0].1, 7);
    // A tenant's months in Kolkata begin at 18:30 in UTC, in ClickHouse as in Postgres.
    let there = format!("{day}&time_zone=Asia/Kolkata");
    let (one, two) =
        (usage(&river, "acme", &format!("{there}&group=event")).await, usage(&river, "acme", &there).await);
    assert_eq!(one["items"][0]["at"], two["items"][0]["at"]);
    for wrong in ["by=week", "group=tenant", "from=yesterday", "time_zone=Mars", "tenant=other"] {
        let path = format!("/v1/tenants/acme/usage?{wrong}");
        let refused = river.operator().send(Method::GET, &path, &[], "").await;
        assert_eq!(refused.code(), "invalid_argument", "{wrong}");
    }
    river.stop().await;
}
