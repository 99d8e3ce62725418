//! Cut off at the limit: never one event more, and let in again at once.

use std::time::Duration;

use hyper::Method;
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

use crate::river::metered;

/// Eight clients send batches of `batch` events, named by `prefix`, until each is refused three times running. How
/// many were accepted in all.
async fn flood(river: &River, customer: &Customer, prefix: &'static str, batch: usize) -> u64 {
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8 {
        let client = river.client(&customer.key);
        clients.spawn(async move {
            let (mut accepted, mut refused_running, mut next) = (0, 0, 0_usize);
            while refused_running < 3 {
                let reply =
                    client.post_ids((next..next + batch).map(|n| format!("{prefix}-{number}-{n}"))).await;
                next += batch;
                match reply.status {
                    202 => {
                        let now = reply.json()["accepted"].as_u64().unwrap();
                        assert!(now > 0);
                        accepted += now;
                        refused_running = 0;
                    }
                    402 => {
                        assert_eq!(reply.code(), "quota_exceeded");
                        assert_eq!(reply.headers.get("content-type").unwrap(), "application/problem+json");
                        assert!(reply.headers.get("retry-after").is_none(), "an SDK would retry it");
                        refused_running += 1;
                    }
                    status => panic!("{status}: {reply:?}"),
                }
            }
            accepted
        });
    }
    clients.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_a_thousand_lets_exactly_a_thousand_in() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(1_000)).await;
    assert_eq!(flood(&river, &customer, "first", 1).await, 1_000);
    metered(&river, &customer, 1_000).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_straddles_the_cap_is_accepted_up_to_it() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(1_000)).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(0..995).await.json()["accepted"], 995);
    let reply = client.post_ids(995..1_005).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.json()["accepted"], 5);
    let rejected = reply.json()["rejected"].as_array().unwrap().clone();
    assert_eq!(rejected.len(), 5);
    assert_eq!((&rejected[0]["index"], &rejected[0]["code"]), (&5.into(), &"quota_exceeded".into()));
    assert_eq!(client.post_ids([1_005]).await.status, 402);
    metered(&river, &customer, 1_000).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_fill_the_cap_to_the_last_event() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(1_003)).await;
    assert_eq!(flood(&river, &customer, "first", 7).await, 1_003);
    metered(&river, &customer, 1_003).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_quota_lets_the_tenant_in_within_a_second_by_sql_and_by_http() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(3)).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(0..3).await.status, 202);
    assert_eq!(client.post_ids(["x"]).await.status, 402);
    sqlx::query("UPDATE tenant SET quota = 4").execute(&river.stores.pool).await.unwrap();
    let took =
        eventually("let in", Duration::from_secs(5), async || client.post_ids(["x"]).await.status == 202)
            .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(client.post_ids(["y"]).await.status, 402);
    let change = [("content-type", "application/json")];
    let changed =
        river.operator().send(Method::PATCH, "/v1/operator/tenants/capped", &change, r#"{"quota":5}"#).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let took =
        eventually("let in", Duration::from_secs(5), async || client.post_ids(["y"]).await.status == 202)
            .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    metered(&river, &customer, 5).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_give_their_quota_back() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(10)).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(0..5).await.status, 202);
    assert_eq!(client.post_ids(0..5).await.status, 202);
    eventually("the five that were duplicates can be sent again", Duration::from_secs(20), async || {
        client.post_ids([5]).await.status == 202
    })
    .await;
    assert_eq!(flood(&river, &customer, "first", 1).await, 4);
    metered(&river, &customer, 10).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_had_not_spent_comes_back_and_nothing_else() {
    let short = vec![("WEIR_INGEST_LEASE_MS", "1000".to_owned())];
    let river = River::start_with(RiverConfig { settings: short, ..RiverConfig::default() }).await;
    let customer = river.customer("capped", Some(1_000)).await;
    // A node that took 600 events, accepted none and died.
    sqlx::raw_sql(
        "INSERT INTO ingest_node (id, lease_until) VALUES ('00000000-0000-0000-0000-000000000001', now());
         INSERT INTO quota_period (tenant_id, period_start, granted)
             SELECT id, date_trunc('month', now()), 600 FROM tenant;
         INSERT INTO quota_lease (node_id, tenant_id, period_start, granted)
             SELECT '00000000-0000-0000-0000-000000000001', tenant_id, period_start, 600 FROM quota_period;",
    )
    .execute(&river.stores.pool)
    .await
    .unwrap();
    assert_eq!(flood(&river, &customer, "first", 1).await, 400);
    metered(&river, &customer, 400).await;
    let client = river.client(&customer.key);
    eventually("the dead node's slice comes back", Duration::from_secs(40), async || {
        client.post_ids(["late"]).await.status == 202
    })
    .await;
    assert_eq!(flood(&river, &customer, "late", 3).await, 599);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_is_reached_while_no_processor_runs_is_not_passed_and_no_event_of_it_is_lost() {
    let river = River::start_with(RiverConfig { processors: 0, ..RiverConfig::default() }).await;
    let customer = river.customer("capped", Some(1_000)).await;
    assert_eq!(flood(&river, &customer, "first", 7).await, 1_000);
    // What was sent already is refused too: only the processor knows whether it is a duplicate.
    assert_eq!(river.client(&customer.key).post_ids(["first-0-0"]).await.status, 402);
    assert_eq!(river.stores.postgres_number("SELECT count(*) FROM usage_hour").await, 0);
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, RiverConfig::default()).await;
    metered(&river, &customer, 1_000).await;
    assert_eq!(flood(&river, &customer, "second", 1).await, 0);
    metered(&river, &customer, 1_000).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_at_once_for_the_last_event_one_is_let_in() {
    let river = River::start().await;
    let customer = river.customer("capped", Some(10)).await;
    let second = river.second_node(Vec::new()).await;
    let nodes = [river.client(&customer.key), second.client(&customer.key)];
    assert_eq!(nodes[0].post_ids(0..9).await.status, 202);
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..200_usize {
        let client = nodes[number % 2].clone();
        sending.spawn(async move { client.post_ids([format!("last-{number}")]).await.status });
    }
    let statuses = sending.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, 202 | 402)), "{statuses:?}");
    let accepted = statuses.iter().filter(|status| **status == 202).count();
    // None, where the other node holds the last event: it gives it back as soon as it sees that nobody wants it there.
    assert!(accepted <= 1, "{accepted} were let in");
    let mut late = accepted == 1;
    eventually("the last event is let in", Duration::from_secs(10), async || {
        late = late || nodes[1].post_ids(["late"]).await.status == 202;
        late
    })
    .await;
    metered(&river, &customer, 10).await;
    second.stop().await;
    river.stop().await;
}
