//! What operators and tenants are shown.

use std::time::Duration;

use hyper::Method;
use metering::outcomes::{Interval, of_tenant};
use schemas::id::{KeyId, TenantId};
use serde_json::Value;
use testkit::{River, eventually};

use super::{last_day, told};

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
    eventually("it is told", Duration::from_secs(15), async || {
        let all = told(&river.stores.pool, acme.tenant).await;
        all.len() == 4 && told(&river.stores.pool, other.tenant).await.len() == 2
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
                text(row, "project"),
                text(row, "outcome"),
                row["events"].as_i64().unwrap(),
                row["requests"].as_i64().unwrap(),
            )
        };
        page["outcomes"].as_array().unwrap().iter().map(row).collect()
    };
    let own = |project: &str, outcome: &str, events, requests| {
        (project.to_owned(), outcome.to_owned(), events, requests)
    };
    let page = shown("acme/outcomes?interval=total").await;
    let (tried, accepted) = (own("default", "invalid_json", 0, 1), own("default", "accepted", 3, 0));
    let in_staging = [own("staging", "invalid_event", 1, 0), own("staging", "invalid_json", 0, 1)];
    assert_eq!(rows(&page)[..2], [accepted.clone(), tried.clone()]);
    assert_eq!(rows(&page)[2..], in_staging);
    assert_eq!((page["tenant"].as_i64(), &page["next"]), (Some(acme.tenant.0), &Value::Null));
    assert_eq!(
        (&page["outcomes"][0]["kind"], &page["outcomes"][0]["key"]),
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

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_shown_is_said() {
    let river = River::start().await;
    river.customer("acme", None).await;
    for (query, code) in [
        ("acme/outcomes?interval=week", "invalid_argument"),
        ("acme/outcomes?since=1h", "invalid_argument"),
        ("acme/outcomes?from=yesterday", "invalid_argument"),
        ("acme/outcomes?key=x", "invalid_argument"),
        ("acme/outcomes?limit=0", "invalid_argument"),
        ("acme/outcomes?limit=10001", "invalid_argument"),
        ("acme/outcomes?after=1.2", "invalid_argument"),
        ("acme/outcomes?from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z", "invalid_argument"),
        ("acme/outcomes?from=1960-11-01T00:00:00Z&interval=total", "invalid_argument"),
        ("acme/outcomes?project=none", "not_found"),
        ("nobody/outcomes", "not_found"),
    ] {
        assert_eq!(ask(&river, query).await.code(), code, "{query}");
    }
    assert_eq!(ask(&river, "acme/outcomes?limit=10000").await.status, 200);
    // 1,440 minutes, and one more.
    let minutes = "acme/outcomes?interval=minute&from=2026-11-01T00:00:00Z&to=2026-11-02T00:0";
    assert_eq!(ask(&river, &format!("{minutes}0:00Z")).await.status, 200);
    assert_eq!(ask(&river, &format!("{minutes}1:00Z")).await.code(), "invalid_argument");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_each_count_once() {
    let river = River::start().await;
    let tenant = TenantId(river.customer("acme", None).await.tenant.0);
    let insert = "INSERT INTO outcome_minute (tenant_id, minute, project_id, key_id, outcome, events, requests, node_run)
        SELECT $1, date_trunc('minute', now(), 'UTC') - minute * interval '1 minute', project, nullif(key, 0),
               outcome, 1, 0, gen_random_uuid()
        FROM generate_series(0, 90) minute, generate_series(1, 2) project, generate_series(0, 2) key,
             unnest(ARRAY['accepted', 'no_id', 'Newer']) outcome, generate_series(1, 2) node";
    sqlx::query(insert).bind(tenant.0).execute(&river.stores.pool).await.unwrap();
    for (interval, limit) in [
        (Interval::Minute, 100),
        (Interval::Hour, 7),
        (Interval::Total, 1),
        (Interval::Total, 18),
        (Interval::Total, 17),
    ] {
        let mut query = last_day(interval);
        let whole = of_tenant(&river.stores.pool, tenant, &query).await.unwrap();
        assert_eq!(whole.next, None);
        query.limit = limit;
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let page = of_tenant(&river.stores.pool, tenant, &query).await.unwrap();
            assert!(page.outcomes.len() <= usize::try_from(limit).unwrap());
            seen.extend(page.outcomes);
            pages += 1;
            let Some(next) = page.next else { break };
            // As it goes over the wire.
            query.after = Some(serde_json::to_value(&next).unwrap().as_str().unwrap().parse().unwrap());
        }
        assert_eq!(seen, whole.outcomes);
        assert_eq!(pages, seen.len().div_ceil(usize::try_from(limit).unwrap()));
        assert_eq!(seen.iter().map(|row| row.events).sum::<i64>(), 91 * 2 * 3 * 3 * 2);
    }
    let totals = of_tenant(&river.stores.pool, tenant, &last_day(Interval::Total)).await.unwrap().outcomes;
    assert_eq!(totals.len(), 18);
    assert_eq!((totals[0].outcome.as_str(), totals[0].kind, totals[0].key), ("Newer", None, None));
    assert_eq!(totals[3].key, KeyId::from_number(1));
    river.stop().await;
}
