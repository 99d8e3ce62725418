//! What operators see of the river over HTTP, and do to it: dead letters, proofs and repairs, the river at a glance.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventlog::Append;
use eventlog::local::{LocalConfig, LocalLog};
use hyper::Method;
use processor::ProcessorConfig;
use proof::asked::Verifier;
use serde_json::{Value, json};
use service::config::Settings;
use service::shutdown::Shutdown;
use testkit::river::RiverConfig;
use testkit::{Proxy, River, Stores, eventually};

use crate::dead::one_partition;
use crate::river::metered;

const PATIENCE: Duration = Duration::from_secs(30);

async fn get(river: &River, path: &str) -> Value {
    let reply = river.operator().send(Method::GET, &format!("/v1/operator/{path}"), &[], "").await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

async fn post(river: &River, path: &str, body: Value) -> (u16, Value) {
    let reply = river.operator().post_json(&format!("/v1/operator/{path}"), body.to_string()).await;
    (reply.status, reply.json())
}

/// The ids of the letters that a list shows.
fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_found_over_all_tenants_and_decided_on_for_a_reason_that_the_audit_says() {
    let river = River::start_with(one_partition()).await;
    let acme = river.customer("acme", None).await;
    let junk =
        |bytes: &'static [u8]| Append { partition: 0, timestamp_ms: 0, payload: Bytes::from_static(bytes) };
    let records = vec![junk(b"junk"), junk(b"more"), junk(b"junk")];
    river.log.append(records, Duration::from_secs(5)).await.unwrap();
    let count = async |query| river.stores.postgres_number(query).await;
    eventually("the letters are there", PATIENCE, async || {
        count("SELECT count(*) FROM dead_letter").await == 3
    })
    .await;
    let whose = sqlx::query("UPDATE dead_letter SET tenant_id = $1 WHERE position = 0").bind(acme.tenant.0);
    whose.execute(&river.stores.pool).await.unwrap();

    let all = get(&river, "dead-letters").await;
    let [first, second, third] = ids(&all).try_into().unwrap();
    assert!(all["items"][0]["tenant"].as_str().unwrap().starts_with("ten_"), "{all}");
    let page = get(&river, "dead-letters?limit=2").await;
    let next = format!("dead-letters?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!((ids(&page), ids(&get(&river, &next).await)), (vec![first, second], vec![third]));
    for (query, found) in [
        ("tenant=acme", vec![first]),
        ("reason=version%20106", vec![first, third]),
        ("from=2000-01-01T00:00:00Z&to=2000-01-02T00:00:00Z", vec![]),
        ("state=asked", vec![]),
        ("state=dead&from=2000-01-01T00:00:00Z", vec![first, second, third]),
    ] {
        assert_eq!(ids(&get(&river, &format!("dead-letters?{query}")).await), found, "{query}");
    }

    let (status, problem) =
        post(&river, &format!("dead-letters/{first}/discard"), json!({"reason": " "})).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_argument")));
    let because = json!({"reason": "sent by mistake"});
    let (status, letter) = post(&river, &format!("dead-letters/{first}/discard"), because.clone()).await;
    assert_eq!(
        (status, &letter["state"], &letter["bytes"]),
        (200, &json!("discarded"), &json!(0)),
        "{letter}"
    );
    let (status, problem) = post(&river, &format!("dead-letters/{first}/replay"), because.clone()).await;
    assert!(
        status == 409 && problem["detail"].as_str().unwrap().contains("is discarded already"),
        "{problem}"
    );
    assert_eq!(post(&river, "dead-letters/0:77/replay", because.clone()).await.0, 404);
    for letters in [json!({}), json!({"all": true, "tenant": "acme"}), json!({"id": "0:0"})] {
        let body = json!({"letters": letters, "reason": "all of them"});
        assert_eq!(post(&river, "dead-letters/discard", body).await.0, 400, "{letters}");
    }
    let body = json!({"letters": {"reason": "version 106"}, "reason": "a newer weir reads it"});
    assert_eq!(post(&river, "dead-letters/replay", body).await, (200, json!({"letters": 1})));
    eventually("it is dead again, since nobody can read it", PATIENCE, async || {
        count("SELECT count(*) FROM dead_letter WHERE state = 'dead' AND replay_asked_at IS NOT NULL").await
            == 1
    })
    .await;
    let body = json!({"letters": {"all": true}, "reason": "lost"});
    assert_eq!(post(&river, "dead-letters/discard", body).await, (200, json!({"letters": 2})));

    // A tenant's own letter is in the tenant's audit, too.
    let said = get(&river, "audit?action=dead_letter.*").await;
    let said: Vec<(&str, &Value)> = said["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|of| (of["action"].as_str().unwrap(), of))
        .collect();
    let actions: Vec<&str> = said.iter().map(|(action, _)| *action).collect();
    assert_eq!(actions, ["dead_letter.discard", "dead_letter.replay", "dead_letter.discard"], "{said:?}");
    assert!(said[0].1["after"].as_str().unwrap().contains("sent by mistake"), "{said:?}");
    assert!(said[0].1["tenant"].is_string() && said[1].1["tenant"].is_null(), "{said:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_letters_are_decided_on_in_steps_and_each_tenant_s_audit_says_how_many_were_its_own() {
    let river = River::start_with(one_partition()).await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    sqlx::query(
        "INSERT INTO dead_letter (partition, position, tenant_id, events, reason, raw)
         SELECT 0, n, CASE WHEN n <= 1200 THEN $1 WHEN n <= 1203 THEN $2 END, 1, 'many', 'x'
         FROM generate_series(1, 2500) n",
    )
    .bind(acme.tenant.0)
    .bind(other.tenant.0)
    .execute(&river.stores.pool)
    .await
    .unwrap();
    let body = json!({"letters": {"all": true}, "reason": "lost"});
    assert_eq!(post(&river, "dead-letters/discard", body).await, (200, json!({"letters": 2_500})));
    let dead = "SELECT count(*) FROM dead_letter WHERE state = 'dead' OR raw <> ''";
    assert_eq!(river.stores.postgres_number(dead).await, 0);

    let said = get(&river, "audit?action=dead_letter.discard").await;
    let said = said["items"].as_array().unwrap().iter().map(|of| {
        let after: Value = serde_json::from_str(of["after"].as_str().unwrap()).unwrap();
        (of["tenant"].is_string(), after["letters"].as_u64().unwrap(), after["reason"] == "lost")
    });
    let said: BTreeSet<_> = said.collect();
    assert_eq!(said, BTreeSet::from([(false, 2_500, true), (true, 1_200, true), (true, 3, true)]));
    river.stop().await;
}

/// What carries out verifications in a process.
fn verifier(river: &River) -> Verifier {
    let (pool, log) = (river.stores.processor.clone(), Arc::clone(&river.log));
    let config = ProcessorConfig::read(&mut Settings::new([]), river.stores.folder.path());
    Verifier::new(pool, river.stores.clickhouse(), log, config)
}

/// Waits for the end of a verification.
async fn ended(river: &River, asked: &Value) -> Value {
    let path = format!("verifications/{}", asked["id"].as_str().unwrap());
    eventually("it has ended", PATIENCE, async || get(river, &path).await["state"] == "ended").await;
    get(river, &path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_and_a_repair_are_asked_for_and_a_processor_carries_them_out() {
    let settings = vec![("WEIR_RECONCILE_MINUTES", "0".to_owned())];
    let river = River::start_with(RiverConfig { settings, ..one_partition() }).await;
    let customer = river.customer("acme", None).await;
    assert_eq!(river.client(&customer.key).post_ids(0..50).await.status, 202);
    metered(&river, &customer, 50).await;
    let nothing = get(&river, "reconciliation").await;
    assert_eq!(
        (&nothing["last_asked"], &nothing["mismatched_ranges"]),
        (&Value::Null, &json!(0)),
        "{nothing}"
    );

    let (status, asked) = post(&river, "reconciliation/verify", json!({})).await;
    assert_eq!((status, &asked["repairs"], &asked["asked_by"]), (202, &json!(false), &json!("operator")));
    let proved = ended(&river, &asked).await;
    assert_eq!((&proved["holds"], &proved["verdict"]["rows"]), (&json!(true), &json!(50)), "{proved}");

    let lost = "ALTER TABLE events DELETE WHERE event_id = '7' SETTINGS mutations_sync = 2";
    river.stores.clickhouse().query(lost).execute().await.unwrap();
    let disproved = ended(&river, &post(&river, "reconciliation/verify", json!({})).await.1).await;
    assert_eq!(
        (&disproved["holds"], &disproved["verdict"]["rows"]),
        (&json!(false), &json!(49)),
        "{disproved}"
    );
    assert_eq!(post(&river, "reconciliation/repair", json!({})).await.0, 400, "a repair has a reason");
    let (_, asked) = post(&river, "reconciliation/repair", json!({"reason": "a disk was lost"})).await;
    let repaired = ended(&river, &asked).await;
    assert_eq!((&repaired["holds"], &repaired["done"]["inserted"]), (&json!(true), &json!(1)), "{repaired}");

    let listed = get(&river, "verifications?limit=1").await;
    assert!(listed["items"][0] == repaired && listed["next_cursor"].is_string(), "{listed}");
    assert_eq!(get(&river, "reconciliation").await["last_asked"], repaired);
    let said = get(&river, "audit?action=verification.*").await;
    let actions: Vec<&Value> = said["items"].as_array().unwrap().iter().map(|of| &of["action"]).collect();
    assert_eq!(actions, ["verification.repair", "verification.ask", "verification.ask"], "{said}");
    assert!(said["items"][0]["after"].as_str().unwrap().contains("a disk was lost"), "{said}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_verification_is_open_at_a_time_and_one_that_ends_no_process_is_given_up() {
    let river = River::start_with(RiverConfig { processors: 0, ..one_partition() }).await;
    let (_, asked) = post(&river, "reconciliation/verify", json!({})).await;
    let (status, problem) = post(&river, "reconciliation/repair", json!({"reason": "impatience"})).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains(asked["id"].as_str().unwrap()), "{problem}");

    let verifier = verifier(&river);
    let set = async |what: &'static str| {
        sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE verification SET {what}")))
            .execute(&river.stores.pool)
            .await
            .unwrap()
    };
    let path = format!("verifications/{}", asked["id"].as_str().unwrap());
    set("claimed_until = now() + interval '1 minute', begun_at = now()").await;
    verifier.round().await.unwrap();
    assert_eq!(get(&river, &path).await["state"], "running", "another process is at it");
    set("claimed_until = now(), attempts = 3").await;
    verifier.round().await.unwrap();
    let given_up = get(&river, &path).await;
    assert!(given_up["state"] == "ended" && given_up["holds"].is_null(), "{given_up}");
    assert!(given_up["problem"].as_str().unwrap().contains("3 processes"), "{given_up}");
    assert_eq!(post(&river, "reconciliation/verify", json!({})).await.0, 202, "the next one");
    verifier.round().await.unwrap();
    assert_eq!(get(&river, "reconciliation").await["last_asked"]["holds"], true);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_is_ordered_to_stop_gives_a_verification_back_with_its_attempt() {
    let river = River::start_with(RiverConfig { processors: 0, ..one_partition() }).await;
    let mut locked = river.stores.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE batch_ledger").execute(&mut *locked).await.unwrap();
    let (_, asked) = post(&river, "reconciliation/verify", json!({})).await;
    let (trigger, shutdown) = Shutdown::new();
    let verifying = tokio::spawn(verifier(&river).run(shutdown));
    let path = format!("verifications/{}", asked["id"].as_str().unwrap());
    eventually("it is begun", PATIENCE, async || get(&river, &path).await["state"] == "running").await;
    trigger.order();
    verifying.await.unwrap();
    let open = "SELECT count(*) FROM verification WHERE attempts = 0 AND claimed_until < now()";
    assert_eq!(river.stores.postgres_number(open).await, 1);
    locked.rollback().await.unwrap();
    verifier(&river).round().await.unwrap();
    assert_eq!(get(&river, &path).await["holds"], true, "the next process begins at once");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_river_is_shown_with_what_is_not_known_while_a_store_is_away() {
    let mut stores = Stores::fresh().await;
    let (proxy, url) = Proxy::to_postgres(&stores.database_url).await;
    stores.database_url = url;
    let local = LocalConfig::new(stores.folder.path().join("log"), 2);
    let river =
        River::start_on(stores, Arc::new(LocalLog::open(local).unwrap()), RiverConfig::default()).await;
    let customer = river.customer("acme", Some(1_000)).await;
    assert_eq!(river.client(&customer.key).post_ids(0..50).await.status, 202);
    metered(&river, &customer, 50).await;
    let shown = get(&river, "river").await;
    let partitions = shown["partitions"].as_array().unwrap();
    assert!(partitions.len() == 2 && partitions.iter().all(|of| of["lag"] == 0), "{shown}");
    let processor = &shown["books"]["processors"][0]["id"];
    assert!(
        partitions.iter().all(|of| of["owner"] == *processor && of["lease_until"].is_string()),
        "{shown}"
    );
    let node = &shown["books"]["ingest_nodes"][0];
    assert!(node["lease_until"].is_string() && node["leases"] == 1, "{shown}");
    let disk = &shown["disks"].as_array().unwrap().iter().find(|disk| disk["of"] == "log").unwrap();
    assert!(
        disk["free_bytes"].as_u64() > Some(0) && disk["free_bytes"].as_u64() <= disk["total_bytes"].as_u64()
    );
    assert_eq!(shown["unknown"].as_array().unwrap().len(), 1, "what other processes have: {shown}");

    // Nobody can count leases: what is known without them is shown all the same.
    let mut locked = river.stores.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE quota_lease").execute(&mut *locked).await.unwrap();
    let shown = get(&river, "river").await;
    locked.rollback().await.unwrap();
    let (books, node) = (&shown["books"], &shown["books"]["ingest_nodes"][0]);
    assert!(books["spools"].is_null() && node["leases"].is_null() && node["held"].is_null(), "{shown}");
    assert!(books["database_bytes"].as_u64() > Some(0) && node["lease_until"].is_string(), "{shown}");
    assert!(shown["partitions"][0]["owner"].is_string() && shown["partitions"][0]["lag"] == 0, "{shown}");
    assert_eq!(shown["unknown"][0]["what"], "leases of quota, and spools", "{shown}");

    proxy.cut();
    let since = Instant::now();
    let shown = get(&river, "river").await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let first = &shown["partitions"][0];
    assert!(shown["books"].is_null() && first["log_end"].is_u64() && first["lag"].is_null(), "{shown}");
    assert!(shown["unknown"][0]["why"].as_str().unwrap().starts_with("Postgres failed"), "{shown}");
    proxy.mend();
    eventually("Postgres is back", PATIENCE, async || get(&river, "river").await["books"].is_object()).await;
    river.stop().await;
}
