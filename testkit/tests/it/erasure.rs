//! What is erased is gone, all else stays, and every total is still proved.

mod crash;
mod retention;
mod reported;

use std::sync::Arc;
use std::time::Duration;

use processor::ProcessorConfig;
use proof::Eraser;
use proof::Verdict;
use serde_json::{Value, json};
use service::clock::Clock;
use service::config::Settings;
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};

use crate::river::metered;

/// Events of a user, whose ids begin with the user's name.
pub(crate) async fn send(river: &River, key: &str, user: &str, ids: std::ops::Range<usize>) {
    let events: Vec<Value> = ids
        .map(|id| {
            let (id, anonymous) = (format!("{user}-{id}"), format!("a-{user}"));
            json!({"id": id, "event": "seen", "user_id": user, "anonymous_id": anonymous})
        })
        .collect();
    let reply = river.client(key).post_json("/v1/events", Value::Array(events).to_string()).await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

/// Asks over HTTP.
pub(crate) async fn ask(river: &River, tenant: &str, what: Value) -> String {
    let reply = river.operator().post_json(&format!("/v1/tenants/{tenant}/erasures"), what.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

async fn shown(river: &River, tenant: &str, id: &str) -> Value {
    let path = format!("/v1/tenants/{tenant}/erasures/{id}");
    river.operator().send(hyper::Method::GET, &path, &[], "").await.json()
}

pub(crate) async fn done(river: &River, tenant: &str, id: &str) -> Value {
    eventually("the erasure is done", Duration::from_secs(30), async || {
        shown(river, tenant, id).await["state"] == "done"
    })
    .await;
    shown(river, tenant, id).await
}

async fn proved(river: &River) -> Verdict {
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{verdict:?}");
    verdict
}

async fn rows_of(river: &River, customer: &Customer, user: &str) -> u64 {
    let tenant = customer.tenant;
    river
        .stores
        .clickhouse_number(&format!(
            "SELECT count() FROM events WHERE tenant_id = {tenant} AND user_id = '{user}'"
        ))
        .await
}

async fn duplicates(river: &River, expected: i64) {
    eventually("the duplicates are counted", Duration::from_secs(20), async || {
        river.stores.postgres_number("SELECT coalesce(sum(duplicate), 0)::bigint FROM usage_hour").await
            == expected
    })
    .await;
}

/// A river that leaves erasures to the test.
async fn without_eraser() -> River {
    River::start_with(RiverConfig { erases: false, ..RiverConfig::default() }).await
}

pub(crate) fn eraser(river: &River, clock: Clock) -> Eraser {
    let mut settings = Settings::new(std::iter::empty());
    let config = ProcessorConfig::read(&mut settings, river.stores.folder.path());
    Eraser::new(
        river.stores.processor.clone(),
        river.stores.clickhouse(),
        Arc::clone(&river.log),
        clock,
        &config,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_gone_and_everything_else_stays_and_is_proved() {
    let river = River::start().await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    send(&river, &acme.key, "zora", 0..60).await;
    send(&river, &acme.key, "bob", 0..40).await;
    send(&river, &other.key, "zora", 0..50).await;
    metered(&river, &acme, 100).await;
    metered(&river, &other, 50).await;
    let id = ask(&river, "acme", json!({"user_id": "zora"})).await;
    let erased = done(&river, "acme", &id).await;
    assert_eq!(
        (&erased["events"], &erased["dead_letters"], &erased["kind"]),
        (&json!(60), &json!(0), &json!("user"))
    );
    assert_eq!(rows_of(&river, &acme, "zora").await, 0);
    assert_eq!(rows_of(&river, &acme, "bob").await, 40);
    assert_eq!(rows_of(&river, &other, "zora").await, 50);
    metered(&river, &acme, 100).await;
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.rows, verdict.erased, verdict.erasing), (150, 90, 60, false));
    // Nothing is left that says who it was. (Her name has letters that no hash in hex has.)
    let name = "SELECT count(*) FROM erasure WHERE subject IS NOT NULL OR erasure::text LIKE '%zora%'";
    assert_eq!(river.stores.postgres_number(name).await, 0);
    let mutations = "SELECT count() FROM system.mutations WHERE database = currentDatabase()";
    assert_eq!(river.stores.clickhouse_number(mutations).await, 1);
    let named = format!("{mutations} AND command LIKE '%zora%'");
    assert_eq!(river.stores.clickhouse_number(&named).await, 0);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_an_erased_event_stays_a_duplicate_and_a_new_event_is_stored() {
    let config = || RiverConfig { partitions: 1, ..RiverConfig::default() };
    let river = River::start_with(config()).await;
    let acme = river.customer("acme", None).await;
    send(&river, &acme.key, "ada", 0..50).await;
    metered(&river, &acme, 50).await;
    let id = ask(&river, "acme", json!({"user_id": "ada"})).await;
    done(&river, "acme", &id).await;
    send(&river, &acme.key, "ada", 0..50).await;
    duplicates(&river, 50).await;
    let (stores, log) = river.stop().await;
    // What is known of ids is read from ClickHouse now.
    let river = River::start_on(stores, log, config()).await;
    send(&river, &acme.key, "ada", 0..51).await;
    duplicates(&river, 100).await;
    metered(&river, &acme, 51).await;
    assert_eq!(rows_of(&river, &acme, "ada").await, 1);
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.duplicate, verdict.rows, verdict.erased), (51, 100, 1, 50));
    // A second time only what has come since.
    let again = ask(&river, "acme", json!({"user_id": "ada"})).await;
    assert_eq!(done(&river, "acme", &again).await["events"], 1);
    let nothing = ask(&river, "acme", json!({"user_id": "ada"})).await;
    assert_eq!(done(&river, "acme", &nothing).await["events"], 0);
    assert_eq!(proved(&river).await.erased, 51);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_and_an_anonymous_id_are_erased_in_one_project_or_in_all() {
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    let staging = river.key(acme.tenant, "staging").await;
    for key in [&acme.key, &staging] {
        send(&river, key, "ada", 0..10).await;
        send(&river, key, "bob", 0..5).await;
    }
    metered(&river, &acme, 30).await;
    let one = ask(&river, "acme", json!({"event_id": "ada-3", "project": "staging"})).await;
    assert_eq!(done(&river, "acme", &one).await["events"], 1);
    let somebody = ask(&river, "acme", json!({"anonymous_id": "a-bob", "project": "default"})).await;
    assert_eq!(done(&river, "acme", &somebody).await["events"], 5);
    assert_eq!(proved(&river).await.rows, 24);
    // Both at once, and one event belongs to both.
    let all = ask(&river, "acme", json!({"user_id": "ada"})).await;
    let one = ask(&river, "acme", json!({"event_id": "ada-7"})).await;
    let (all, one) = (done(&river, "acme", &all).await, done(&river, "acme", &one).await);
    assert_eq!(all["events"].as_i64().unwrap() + one["events"].as_i64().unwrap(), 19);
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.rows, verdict.erased), (30, 5, 25));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_in_many_ranges_of_the_ledger_is_taken_out_of_each() {
    let river = River::start_with(RiverConfig { partitions: 1, ..RiverConfig::default() }).await;
    let acme = river.customer("acme", None).await;
    for thousand in 0..21_usize {
        let ids: Vec<Value> = (0..10_000_usize)
            .map(|id| {
                let (id, user) = ((thousand * 10_000 + id).to_string(), (id % 100).to_string());
                json!({"id": id, "event": "e", "user_id": user})
            })
            .collect();
        let reply = river.client(&acme.key).post_json("/v1/events", Value::Array(ids).to_string()).await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    metered(&river, &acme, 210_000).await;
    assert!(river.stores.postgres_number("SELECT count(*) FROM batch_ledger").await >= 2);
    let id = ask(&river, "acme", json!({"user_id": "7"})).await;
    assert_eq!(done(&river, "acme", &id).await["events"], 2_100);
    assert!(river.stores.postgres_number("SELECT count(*) FROM erased_range").await >= 2);
    send(&river, &acme.key, "bob", 0..10).await;
    metered(&river, &acme, 210_010).await;
    let verdict = proved(&river).await;
    assert_eq!((verdict.rows, verdict.erased), (207_910, 2_100));
    river.stop().await;
}
