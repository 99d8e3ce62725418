//! What operators and tenants are shown.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use testkit::{River, eventually};

use super::outcomes_of;

/// Asks the admin API.
async fn ask(river: &River, path: &str) -> testkit::Reply {
    river.operator().send(Method::GET, &format!("/v1/tenants/{path}"), &[], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_outcomes_and_no_other_s() {
    let river = River::start().await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    let staging = river.key(acme.tenant, "staging").await;
    assert_eq!(river.client(&acme.key).post_ids(0..3).await.status, 202);
    assert_eq!(river.client(&other.key).post_ids(0..5).await.status, 202);
    assert_eq!(river.client(&staging).post_json("/v1/events", r#"{"event":7}"#).await.status, 400);
    eventually("it is shown", Duration::from_secs(15), async || {
        let all = outcomes_of(&river.stores.pool, acme.tenant).await;
        all.len() == 4 && outcomes_of(&river.stores.pool, other.tenant).await.len() == 2
    })
    .await;
    let shown = async |path: &str| {
        let reply = ask(&river, path).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let rows = |page: &Value| -> Vec<(String, String, i64, i64)> {
        let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
        let row = |row: &Value| {
            (
                text(row, "project_name"),
                text(row, "outcome"),
                row["events"].as_i64().unwrap(),
                row["requests"].as_i64().unwrap(),
            )
        };
        page["items"].as_array().unwrap().iter().map(row).collect()
    };
    let own = |project: &str, outcome: &str, events, requests| {
        (project.to_owned(), outcome.to_owned(), events, requests)
    };
    let page = shown("acme/outcomes?interval=total").await;
    let (tried, accepted) = (own("default", "invalid_json", 0, 1), own("default", "accepted", 3, 0));
    let in_staging = [own("staging", "invalid_event", 1, 0), own("staging", "invalid_json", 0, 1)];
    assert_eq!(rows(&page)[..2], [accepted.clone(), tried.clone()]);
    assert_eq!(rows(&page)[2..], in_staging);
    assert_eq!(page["next_cursor"], Value::Null);
    assert_eq!(
        (&page["items"][0]["kind"], &page["items"][0]["key"]),
        (&"accepted".into(), &acme.key[8..18].into())
    );
    // By hours, which may be two.
    let hours = shown("acme/outcomes").await;
    let events: i64 = rows(&hours).iter().map(|row| row.2).sum();
    assert!(events == 4 && hours["interval"] == "hour", "{hours}");
    let project = shown("acme/outcomes?interval=total&project=staging").await;
    assert_eq!(rows(&project), in_staging);
    let key = shown(&format!("acme/outcomes?interval=total&key={}", &acme.key[8..18])).await;
    assert_eq!(rows(&key), [accepted, tried]);
    // Another tenant's key and project show nothing of that tenant's.
    let key = shown(&format!("acme/outcomes?interval=total&key={}", &other.key[8..18])).await;
    assert_eq!(rows(&key), []);
    assert_eq!(ask(&river, "other/outcomes?project=staging").await.code(), "not_found");
    let other_page = shown("other/outcomes?interval=total").await;
    assert_eq!(rows(&other_page), [own("default", "accepted", 5, 0), own("default", "invalid_json", 0, 1)]);
    assert_eq!(rows(&shown("acme/outcomes?to=2026-01-01T00:00:00Z").await), []);
    river.stop().await;
}
