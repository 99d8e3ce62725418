//! What counts as the same event.

use std::time::Duration;

use eventlog::Append;
use schemas::frame::Envelope;
use schemas::id::{EventHash, ProjectId};
use schemas::time::Micros;
use service::clock::Clock;
use testkit::River;
use testkit::frame::{envelope, event, frame_of};
use testkit::river::Customer;
use uuid::Uuid;

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
async fn a_repetition_within_a_request_is_reported_and_not_charged() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(2)).await;
    let reply = river.client(&customer.key).post_ids(["a", "a", "b", "a"]).await.json();
    assert_eq!(reply, serde_json::json!({"accepted": 2, "duplicate_of_request": 2, "rejected": []}));
    metered(&river, &customer, 2).await;
    river.stop().await;
}

/// The record that ingest would have written if the customer's event had that hash.
fn forged(customer: &Customer, project: i64, hash: EventHash, period_start: i64) -> Append {
    let now = Micros(Clock::system().now_micros());
    let (project, request_id) = (ProjectId(project), Uuid::now_v7());
    let of_project = envelope(customer.tenant, project);
    let envelope = Envelope { period_start, received_at: now, request_id, ..of_project };
    let id = format!("of-{}", project.0);
    let payload = frame_of(&envelope, [event(hash, &id)]);
    Append { partition: 0, timestamp_ms: now.0 / 1_000, payload }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_collision_of_hashes_hides_nothing_of_another_tenant() {
    let river = River::start().await;
    let victim = river.customer("victim", None).await;
    let attacker = river.customer("attacker", None).await;
    let hash = EventHash(1 << 100);
    let month = "SELECT extract(epoch FROM date_trunc('month', now()))::bigint";
    let period_start = river.stores.postgres_number(month).await;
    let mut records = Vec::new();
    // The attacker comes first, in one batch with the victim, and again behind it.
    for (customer, name) in [(&attacker, "attacker"), (&victim, "victim"), (&attacker, "attacker")] {
        let project: i64 = sqlx::query_scalar(
            "SELECT p.id FROM project p JOIN tenant t ON t.id = p.tenant_id WHERE t.name = $1",
        )
        .bind(name)
        .fetch_one(&river.stores.pool)
        .await
        .unwrap();
        records.push(forged(customer, project, hash, period_start));
    }
    river.log.append(records, Duration::from_secs(5)).await.unwrap();
    metered(&river, &victim, 1).await;
    metered(&river, &attacker, 1).await;
    let rows = river.stores.clickhouse_number("SELECT uniqExact(tenant_id) FROM events FINAL").await;
    assert_eq!(rows, 2, "merging rows does not hide one either");
    river.stop().await;
}
