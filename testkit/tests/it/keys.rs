//! Keys: when they were last used, and how soon every node knows that one is revoked.

use std::time::{Duration, Instant};

use testkit::{River, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn when_a_key_was_used_is_noted_and_changes_nothing() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let unused = river.key(customer.tenant, "staging").await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(0..3).await.status, 202);
    let change = "SELECT max(change) FROM api_key";
    let before = river.stores.postgres_number(change).await;
    // Both were used: `unused` to see whether ingest knows it.
    let (stores, _) = river.stop().await;
    let noted = "SELECT count(*) FROM api_key WHERE last_used_at > now() - interval '1 minute'";
    assert_eq!(stores.postgres_number(noted).await, 2, "{unused}");
    assert_eq!(stores.postgres_number(change).await, before);
    assert_eq!(stores.postgres_number("SELECT last_value FROM change_number").await, before);
    sqlx::query("UPDATE api_key SET revoked_at = now()").execute(&stores.pool).await.unwrap();
    assert!(stores.postgres_number(change).await > before, "every other change counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_by_itself() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(["before"]).await.status, 202);
    sqlx::query("UPDATE api_key SET expires_at = now() + interval '1 second'")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    let asked = Instant::now();
    eventually("the key is refused", Duration::from_secs(5), async || {
        let reply = client.post_ids(["after"]).await;
        reply.status == 401 && reply.code() == "expired_key"
    })
    .await;
    assert!(asked.elapsed() > Duration::from_millis(900), "{:?}", asked.elapsed());
    river.stop().await;
}

/// Revokes one key after the other; the longest time until two nodes refused it. It is below a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_by_two_nodes_within_a_second() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let second = river.second_node(vec![]).await;
    let mut longest = Duration::ZERO;
    for project in ["one", "two", "three", "four", "five"] {
        let key = river.key(customer.tenant, project).await;
        let (one, other) = (river.client(&key), second.client(&key));
        eventually("the second node knows the key", Duration::from_secs(5), async || {
            other.post_ids(["good"]).await.status == 202
        })
        .await;
        sqlx::query(
            "UPDATE api_key SET revoked_at = now() WHERE revoked_at IS NULL AND project_id = (SELECT \
            max(id) FROM project)",
        )
        .execute(&river.stores.pool)
        .await
        .unwrap();
        let took = eventually("both refuse the key", Duration::from_secs(5), async || {
            one.post_ids(["bad"]).await.status == 401 && other.post_ids(["bad"]).await.status == 401
        })
        .await;
        longest = longest.max(took);
    }
    println!("from revocation to refusal on two nodes: {longest:?} at most");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    second.stop().await;
    river.stop().await;
}
