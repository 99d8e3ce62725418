//! What is known of erasures: to operators, to those who bring events back, and to `verify`.

use std::time::Duration;

use hyper::Method;
use processor::{batch, below};
use serde_json::json;
use service::clock::Clock;
use testkit::River;

use super::{ask, done, duplicates, eraser, proved, send, shown, without_eraser};
use crate::river::metered;

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_one_tenants_and_names_one_thing() {
    let river = River::start().await;
    river.customer("acme", None).await;
    river.customer("other", None).await;
    let operator = river.operator();
    for (body, status) in [
        (json!({}), 400),
        (json!({"user_id": "a", "event_id": "b"}), 400),
        (json!({"user_id": ""}), 400),
        (json!({"user_id": "a", "surname": "b"}), 400),
        (json!({"user_id": "a", "project": "nowhere"}), 404),
    ] {
        let reply = operator.post_json("/v1/tenants/acme/erasures", body.to_string()).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
    }
    assert_eq!(operator.post_json("/v1/tenants/nobody/erasures", r#"{"user_id":"a"}"#).await.status, 404);
    let id = ask(&river, "acme", json!({"user_id": "nobody"})).await;
    assert_eq!(done(&river, "acme", &id).await["events"], 0);
    let list = operator.send(Method::GET, "/v1/tenants/acme/erasures", &[], "").await.json();
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["id"]), (1, &json!(id)));
    assert!(!list.to_string().contains("nobody"), "{list}");
    let of_other = operator.send(Method::GET, "/v1/tenants/other/erasures", &[], "").await.json();
    assert_eq!(of_other, json!({"items": [], "next_cursor": null}));
    assert_eq!(shown(&river, "other", &id).await["code"], "not_found");
    let unnamed = testkit::Client::new(river.admin, None);
    assert_eq!(unnamed.post_json("/v1/tenants/acme/erasures", r#"{"user_id":"a"}"#).await.status, 401);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_the_log_are_known_to_be_erased_until_the_log_has_none() {
    let river = without_eraser().await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    for (key, user) in [(&acme.key, "ada"), (&acme.key, "bob"), (&other.key, "ada")] {
        send(&river, key, user, 0..10).await;
    }
    ask(&river, "acme", json!({"user_id": "ada"})).await;
    let eraser = eraser(&river, Clock::system());
    let covered = async || {
        let mut held = below::change(&river.stores.processor, 0).await.unwrap();
        let erased = held.erased().await.unwrap();
        let mut reader = river.log.reader(&[(0, 0), (1, 0)]).await.unwrap();
        let (mut records, mut covered) = (0, Vec::new());
        let ends: u64 = river.log.bounds().await.unwrap().iter().map(|bounds| bounds.end).sum();
        while records < ends {
            let read = reader.read(1 << 20, Duration::from_secs(1)).await.unwrap();
            records += u64::try_from(read.len()).unwrap();
            for placed in batch::decode(&read).events {
                if erased.covers(&placed) {
                    covered.push(format!("{} {}", placed.envelope.tenant, placed.event.user_id));
                }
            }
        }
        covered
    };
    assert_eq!(covered().await.len(), 10, "as soon as it is asked for");
    metered(&river, &acme, 20).await;
    metered(&river, &other, 10).await;
    eraser.turn().await.unwrap();
    send(&river, &acme.key, "ada", 10..15).await;
    metered(&river, &acme, 25).await;
    assert_eq!(covered().await, vec![format!("{} ada", acme.tenant); 10], "and not what came later");
    eraser.tidy().await.unwrap();
    assert_eq!(covered().await.len(), 10, "the log has them");
    // As if the log had been trimmed.
    sqlx::query("UPDATE erasure SET ends = ARRAY[0, 0]").execute(&river.stores.pool).await.unwrap();
    eraser.tidy().await.unwrap();
    let hashes = "SELECT count(*) FROM erasure WHERE subject_hash IS NOT NULL OR salt IS NOT NULL";
    assert_eq!(river.stores.postgres_number(hashes).await, 0);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_lost_or_comes_back_is_found_after_an_erasure_too() {
    for (in_postgres, in_clickhouse) in [
        (None, Some("ALTER TABLE events DELETE WHERE event_id = 'bob-3' SETTINGS mutations_sync = 1")),
        (
            None,
            Some(
                "INSERT INTO events SELECT * REPLACE (position + 1 AS position) FROM events WHERE event_id = 'bob-3'",
            ),
        ),
        (Some("UPDATE erased_range SET rows = rows + 1"), None),
        (Some("UPDATE erased_range SET xor_hash = xor_hash # 1"), None),
        (Some("UPDATE erased_hour SET rows = rows + 1"), None),
    ] {
        let river = River::start().await;
        let acme = river.customer("acme", None).await;
        send(&river, &acme.key, "ada", 0..10).await;
        send(&river, &acme.key, "bob", 0..10).await;
        metered(&river, &acme, 20).await;
        send(&river, &acme.key, "ada", 0..10).await;
        duplicates(&river, 10).await;
        let id = ask(&river, "acme", json!({"user_id": "ada"})).await;
        done(&river, "acme", &id).await;
        proved(&river).await;
        if let Some(forgery) = in_postgres {
            sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        }
        if let Some(forgery) = in_clickhouse {
            river.stores.clickhouse().query(forgery).execute().await.unwrap();
        }
        let verdict = river.verdict().await;
        assert!(!verdict.holds(), "{in_postgres:?} {in_clickhouse:?}: {verdict:?}");
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_name_the_subject_are_reported_and_kept() {
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    sqlx::query(
        "INSERT INTO dead_letter (partition, position, tenant_id, events, reason, raw)
         SELECT 0, n, $1, 1, 'tested', convert_to(raw, 'UTF8')
         FROM unnest(ARRAY['...ada@example.org...', 'bob']) WITH ORDINALITY AS l (raw, n)",
    )
    .bind(acme.tenant.0)
    .execute(&river.stores.pool)
    .await
    .unwrap();
    let id = ask(&river, "acme", json!({"user_id": "ada@example.org"})).await;
    assert_eq!(done(&river, "acme", &id).await["dead_letters"], 1);
    assert_eq!(river.stores.postgres_number("SELECT count(*) FROM dead_letter").await, 2);
    river.stop().await;
}
