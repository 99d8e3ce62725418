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

/// The old key ends where it is known, without a query: on two nodes, at the time that the rotation says.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_ends_on_two_nodes_and_its_successor_is_good_meanwhile() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let second = river.second_node(vec![]).await;
    let id = customer.key[8..18].to_owned();
    let path = format!("/v1/tenants/acme/keys/{id}/rotate");
    let made = river.operator().post_json(&path, r#"{"overlap_hours":1}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let new = made.json()["key"].as_str().unwrap().to_owned();
    let statuses =
        async |key: &str| (river.client(key).post_ids(["e"]).await, second.client(key).post_ids(["e"]).await);
    eventually("both nodes know the new key", Duration::from_secs(5), async || {
        let (one, other) = statuses(&new).await;
        one.status == 202 && other.status == 202
    })
    .await;
    let (one, other) = statuses(&customer.key).await;
    assert_eq!((one.status, other.status), (202, 202), "the old one is good meanwhile");
    // An hour is over sooner than that.
    sqlx::query("UPDATE api_key SET expires_at = now() + interval '1 second' WHERE expires_at IS NOT NULL")
        .execute(&river.stores.pool)
        .await
        .unwrap();
    eventually("both refuse the old key", Duration::from_secs(5), async || {
        let (one, other) = statuses(&customer.key).await;
        one.status == 401 && one.code() == "expired_key" && other.status == 401
    })
    .await;
    let (one, other) = statuses(&new).await;
    assert_eq!((one.status, other.status), (202, 202));
    second.stop().await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_deleted_tenant_are_refused_within_a_second_and_good_when_it_is_restored() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(["before"]).await.status, 202);
    let operator = river.operator();
    let deleted = operator.send(hyper::Method::DELETE, "/v1/tenants/acme", &[], "").await;
    assert_eq!(deleted.json()["status"], "deleted", "{deleted:?}");
    let took = eventually("its key is refused", Duration::from_secs(5), async || {
        client.post_ids(["after"]).await.code() == "tenant_frozen"
    })
    .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let restored = operator.send(hyper::Method::POST, "/v1/tenants/acme/restore", &[], "").await;
    assert_eq!(restored.json()["status"], "active", "{restored:?}");
    eventually("its key is good", Duration::from_secs(5), async || {
        client.post_ids(["restored"]).await.status == 202
    })
    .await;
    river.stop().await;
}
