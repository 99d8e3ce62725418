//! What counts as the same event.

use testkit::River;

use crate::river::metered;

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_one_event_within_a_project_and_two_in_two() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let second_key = river.key(customer.tenant, "default").await;
    let staging_key = river.key(customer.tenant, "staging").await;
    for key in [&customer.key, &second_key, &staging_key] {
        assert_eq!(river.client(key).post_ids(["same"]).await.status, 202);
    }
    metered(&river, &customer, 2).await;
    let stranger = river.customer("stranger", Some(100)).await;
    assert_eq!(river.client(&stranger.key).post_ids(["same"]).await.status, 202);
    metered(&river, &stranger, 1).await;
    let per_project = "SELECT uniqExact(project_id) FROM events WHERE event_id = 'same'";
    assert_eq!(river.stores.clickhouse_number(per_project).await, 3);
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 3);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_retries_at_once_are_one_event() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(1_000)).await;
    let mut retries = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = river.client(&customer.key);
        retries.spawn(async move { client.post_ids(["again"]).await.status });
    }
    assert!(retries.join_all().await.into_iter().all(|status| status == 202));
    metered(&river, &customer, 1).await;
    testkit::eventually("99 duplicates are counted", std::time::Duration::from_secs(30), async || {
        river.stores.postgres_number("SELECT sum(duplicate)::bigint FROM usage_hour").await == 99
    })
    .await;
    metered(&river, &customer, 1).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_within_a_request_is_told_and_not_charged() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(2)).await;
    let reply = river.client(&customer.key).post_ids(["a", "a", "b", "a"]).await.json();
    assert_eq!(reply, serde_json::json!({"accepted": 2, "duplicate_of_request": 2, "rejected": []}));
    metered(&river, &customer, 2).await;
    river.stop().await;
}
