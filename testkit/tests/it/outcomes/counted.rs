//! What is counted under which outcome, by the running server.

use std::time::Duration;

use hyper::Method;
use metering::usage::of_tenant as usage_of_tenant;
use serde_json::json;
use testkit::river::{Customer, RiverConfig};
use testkit::{Client, River, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{now, of_key, outcomes_of};

const JSON: (&str, &str) = ("content-type", "application/json");
const MIB: usize = 1 << 20;

async fn small_river() -> River {
    let settings = [
        ("WEIR_BODY_BYTES_MAX", MIB.to_string()),
        ("WEIR_INFLATED_BYTES_MAX", (2 * MIB).to_string()),
        ("WEIR_IN_FLIGHT_BYTES_MAX", MIB.to_string()),
        ("WEIR_REQUEST_DEADLINE_MS", "2000".to_owned()),
    ];
    River::start_with(RiverConfig { settings: settings.to_vec(), ..RiverConfig::default() }).await
}

/// A request that has been admitted, and whose body never comes.
async fn stalled(river: &River, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(river.ingest).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {key}\r\ncontent-length: \
         {MIB}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut admitted = *b"HTTP/1.1 100 Continue\r\n\r\n";
    stream.read_exact(&mut admitted).await.unwrap();
    assert!(admitted.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&admitted));
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_s_events_are_counted_by_what_became_of_each() {
    let river = small_river().await;
    let acme = river.customer("acme", None).await;
    let client = river.client(&acme.key);
    let large = "x".repeat(schemas::limit::EVENT_BYTES_MAX + 1);
    let ndjson = [("content-type", "application/x-ndjson")];
    let post =
        async |path: &str, body: serde_json::Value| client.post_json(path, body.to_string()).await.status;
    assert_eq!(client.post_ids(0..3).await.status, 202);
    assert_eq!(client.post_ids(["a", "a", "b", "a"]).await.status, 202);
    let too_large = json!({"id": "2", "event": "e", "properties": {"x": large}});
    let batch = json!([{"id": "1", "event": "e"}, {"event": 7}, {"event": "e", "id": ""}, too_large]);
    assert_eq!(post("/v1/events", batch).await, 202);
    assert_eq!(post("/v1/events", json!([{"event": 7}, {"event": 8}])).await, 400);
    assert_eq!(
        post("/v1/events", json!([{"event": 7}, {"event": "e", "properties": {"x": large}}])).await,
        400
    );
    let lines = "{\"id\":\"3\",\"event\":\"e\"}\n{\"id\":\n";
    assert_eq!(client.send(Method::POST, "/v1/events", &ndjson, lines).await.status, 202);
    // Only the counts report these.
    let bad = json!({"batch": [{"type": "page", "messageId": "4"}, {"type": "unknown"}, {"type": "track"}]});
    assert_eq!(post("/v1/batch", bad).await, 200);
    let anonymous = Client::new(river.ingest, None);
    let body = json!({"api_key": acme.key, "batch": [{"event": "e", "uuid": "5"}, {"event": 7}]});
    assert_eq!(anonymous.post_json("/batch/", body.to_string()).await.status, 200);
    assert_eq!(
        post("/api/v1/events", json!([{"id": "6", "source": "s", "type": "t"}, {"id": "1"}])).await,
        204
    );
    let (stores, _) = river.stop().await;
    let expected = of_key(
        "default",
        &acme.key,
        &[
            ("accepted", 3 + 2 + 1 + 1 + 1 + 1 + 1, 0),
            ("duplicate_of_request", 2, 0),
            ("invalid_event", 2 + 2 + 1 + 2 + 1 + 1, 0),
            ("event_too_large", 1 + 1, 0),
            ("invalid_json", 1, 0),
        ],
    );
    assert_eq!(outcomes_of(&stores.pool, acme.tenant).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_not_quite_as_sent_is_a_warning() {
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    let client = river.client(&acme.key);
    for (path, body, status) in [
        ("/v1/events", r#"[{"event":"e"},{"event":"e","id":"1"},{"event":"e"}]"#, 202),
        ("/v1/events", r#"{"event":"e","id":"2","timestamp":"2299-01-01T00:00:00Z"}"#, 202),
        (
            "/v1/events",
            r#"{"event":"e","id":"3","timestamp":"2020-01-01T00:00:00Z","sent_at":"2020-01-01T00:00:05Z"}"#,
            202,
        ),
        ("/v1/events", r#"{"event":"e","id":"4","properties":{"x":NaN}}"#, 202),
        ("/v1/track", r#"{"event":"e","messageId":"5","timestamp":"yesterday"}"#, 200),
        // A time that nobody sent is none that was ignored.
        ("/v1/track", r#"{"event":"e","messageId":"6"}"#, 200),
        // Of events that are refused there is nothing to be warned of.
        ("/v1/events", r#"{"event":7,"timestamp":"2299-01-01T00:00:00Z"}"#, 400),
        (
            "/v1/events",
            r#"[{"event":"e","id":"7"},{"event":"e","id":"7","timestamp":"2299-01-01T00:00:00Z"}]"#,
            202,
        ),
    ] {
        assert_eq!(client.post_json(path, body).await.status, status, "{body}");
    }
    let (stores, _) = river.stop().await;
    let expected = of_key(
        "default",
        &acme.key,
        &[
            ("accepted", 9, 0),
            ("no_id", 2, 0),
            ("time_clamped", 1, 0),
            ("time_corrected", 1, 0),
            ("number_changed", 1, 0),
            ("time_ignored", 1, 0),
            ("invalid_event", 1, 0),
            ("duplicate_of_request", 1, 0),
        ],
    );
    assert_eq!(outcomes_of(&stores.pool, acme.tenant).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_before_its_events_are_read_is_counted_as_one() {
    let river = small_river().await;
    let acme = river.customer("acme", None).await;
    let client = river.client(&acme.key);
    let gzip = [JSON, ("content-encoding", "gzip")];
    let whole = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].as_slice();
    for (headers, body, code) in [
        (vec![JSON], b"{".to_vec(), "invalid_json"),
        (vec![JSON], b"[]".to_vec(), "invalid_batch"),
        (vec![JSON], b"\"text\"".to_vec(), "invalid_batch"),
        (gzip.to_vec(), whole.to_vec(), "invalid_encoding"),
        (vec![JSON, ("content-encoding", "lzma")], b"{}".to_vec(), "unsupported_encoding"),
        (vec![("content-type", "text/html")], b"{}".to_vec(), "unsupported_media_type"),
        (vec![JSON], vec![b'x'; MIB + 1], "body_too_large"),
    ] {
        assert_eq!(client.send(Method::POST, "/v1/events", &headers, body).await.code(), code);
    }
    // While one body takes all the room there is, another finds none.
    let mut slow = stalled(&river, &acme.key).await;
    assert_eq!(client.post_ids(["x"]).await.code(), "overloaded");
    let mut reply = Vec::new();
    slow.read_to_end(&mut reply).await.unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&reply));
    // One that goes away gets no reply, and is counted: the body broke off, or nobody waits for the reply.
    drop(stalled(&river, &acme.key).await);
    let overloaded = eventually_count(async || client.post_ids(["x"]).await.status == 202).await.before;
    let (stores, _) = river.stop().await;
    let mut found = outcomes_of(&stores.pool, acme.tenant).await;
    let mut take = |outcome: &str| {
        found
            .remove(&("default".to_owned(), acme.key[8..18].to_owned(), outcome.to_owned()))
            .unwrap_or_default()
    };
    let (broke_off, went_away) = (take("invalid_batch"), take("no_reply"));
    assert_eq!((broke_off.0, broke_off.1 + went_away.1, went_away.0), (0, 3, 0));
    let expected = of_key(
        "default",
        &acme.key,
        &[
            ("invalid_json", 0, 1),
            ("invalid_encoding", 0, 1),
            ("unsupported_encoding", 0, 1),
            ("unsupported_media_type", 0, 1),
            ("body_too_large", 0, 1),
            ("overloaded", 0, 1 + overloaded),
            ("accepted", 1, 0),
            ("request_timeout", 0, 1),
        ],
    );
    assert_eq!(found, expected);
}

/// How often something was not so, before it was so.
struct Counted {
    before: i64,
}

async fn eventually_count(mut is_so: impl AsyncFnMut() -> bool) -> Counted {
    let mut before = -1;
    eventually("it is so", Duration::from_secs(20), async || {
        before += 1;
        is_so().await
    })
    .await;
    Counted { before }
}

/// Changes something of a customer until its requests of three events get that status; how many did not.
async fn refused(river: &River, customer: &Customer, change: &'static str, status: u16) -> i64 {
    sqlx::query(change).execute(&river.stores.pool).await.unwrap();
    let client = river.client(&customer.key);
    eventually_count(async || client.post_ids(["a", "b", "c"]).await.status == status).await.before
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_tenant_or_key_may_not_do_is_counted_for_it() {
    let river = River::start().await;
    let capped = river.customer("capped", Some(3)).await;
    assert_eq!(river.client(&capped.key).post_ids(0..5).await.status, 202);
    // Its events are counted where the body is read: the key stands in it.
    let body = json!({"writeKey": capped.key, "batch": [{"type": "page"}, {"type": "page"}]});
    assert_eq!(Client::new(river.ingest, None).post_json("/v1/batch", body.to_string()).await.status, 402);
    let fast = river.customer("fast", None).await;
    let rate = "UPDATE tenant SET rate = 1 WHERE name = 'fast'";
    sqlx::query(rate).execute(&river.stores.pool).await.unwrap();
    let client = river.client(&fast.key);
    let slowed = eventually_count(async || client.post_ids(0..500).await.status == 429).await;
    let frozen = river.customer("frozen", None).await;
    let before_frozen =
        refused(&river, &frozen, "UPDATE tenant SET status = 'frozen' WHERE name = 'frozen'", 403).await;
    let revoked = river.customer("revoked", None).await;
    let before_revoked = refused(
        &river,
        &revoked,
        "UPDATE api_key SET revoked_at = now() WHERE tenant_id = (SELECT id FROM tenant WHERE name = 'revoked')",
        401,
    )
    .await;
    let expired = river.customer("expired", None).await;
    let staging = river.key(expired.tenant, "staging").await;
    let before_expired = refused(
        &river,
        &expired,
        "UPDATE api_key SET expires_at = now() WHERE project_id = (SELECT id FROM project
         WHERE name = 'default' AND tenant_id = (SELECT id FROM tenant WHERE name = 'expired'))",
        401,
    )
    .await;
    // Its neighbour goes on, and a key in a body is known as well as one in a header.
    let client = Client::new(river.ingest, None);
    for (key, status) in [(&staging, 200), (&expired.key, 401)] {
        let body = json!({"writeKey": key, "batch": [{"type": "page", "messageId": "1"}]});
        assert_eq!(client.post_json("/v1/batch", body.to_string()).await.status, status);
    }
    let (stores, _) = river.stop().await;
    let mut both =
        of_key("default", &expired.key, &[("accepted", 3 * before_expired, 0), ("expired_key", 0, 2)]);
    both.extend(of_key("staging", &staging, &[("accepted", 1, 0)]));
    for (customer, expected) in [
        (&capped, of_key("default", &capped.key, &[("accepted", 3, 0), ("quota_exceeded", 4, 0)])),
        (
            &fast,
            of_key("default", &fast.key, &[("accepted", 500 * slowed.before, 0), ("rate_limited", 0, 1)]),
        ),
        (
            &frozen,
            of_key("default", &frozen.key, &[("accepted", 3 * before_frozen, 0), ("tenant_frozen", 0, 1)]),
        ),
        (
            &revoked,
            of_key("default", &revoked.key, &[("accepted", 3 * before_revoked, 0), ("revoked_key", 0, 1)]),
        ),
        (&expired, both),
    ] {
        let expected = expected.into_iter().filter(|(_, counts)| *counts != (0, 0)).collect();
        assert_eq!(outcomes_of(&stores.pool, customer.tenant).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_in_outcomes_is_accepted_in_replies_and_stored_or_duplicate_in_usage() {
    const CLIENTS: u32 = 6;
    const BATCHES: u32 = 25;
    let river = River::start().await;
    let acme = river.customer("acme", None).await;
    let staging = river.key(acme.tenant, "staging").await;
    let other = river.second_node(vec![]).await;
    eventually("the other node knows the key", Duration::from_secs(5), async || {
        other.client(&staging).post_ids(["known"]).await.status == 202
    })
    .await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let key = if number % 2 == 0 { &acme.key } else { &staging };
        let client = if number % 3 == 0 { other.client(key) } else { river.client(key) };
        clients.spawn(async move {
            let (mut accepted, mut repeated) = (0, 0);
            for batch in 0..BATCHES {
                // Half of what the batch before had, one of them twice.
                let ids = (batch * 10..batch * 10 + 20).chain([batch * 10]);
                let reply = client.post_ids(ids).await;
                assert_eq!(reply.status, 202, "{reply:?}");
                accepted += reply.json()["accepted"].as_i64().unwrap();
                repeated += reply.json()["duplicate_of_request"].as_i64().unwrap();
            }
            (accepted, repeated)
        });
    }
    let (mut accepted, mut repeated) = (1, 0);
    while let Some(counts) = clients.join_next().await {
        let (a, r) = counts.unwrap();
        (accepted, repeated) = (accepted + a, repeated + r);
    }
    assert_eq!((accepted, repeated), (1 + i64::from(CLIENTS * BATCHES * 20), i64::from(CLIENTS * BATCHES)));
    eventually("all is processed", Duration::from_secs(30), async || {
        let usage = usage_of_tenant(&mut river.stores.pool.acquire().await.unwrap(), acme.tenant, now())
            .await
            .unwrap()
            .unwrap();
        usage.stored + usage.duplicate + usage.dead == accepted
    })
    .await;
    other.stop().await;
    let (stores, _) = river.stop().await;
    let found = outcomes_of(&stores.pool, acme.tenant).await;
    let sum = |outcome: &str| -> i64 {
        found.iter().filter(|((_, _, of), _)| of == outcome).map(|(_, (events, _))| events).sum()
    };
    assert_eq!((sum("accepted"), sum("duplicate_of_request")), (accepted, repeated), "{found:?}");
    assert_eq!(sum("no_reply"), 0);
    let runs = "SELECT count(DISTINCT node_run) FROM outcome_minute";
    assert_eq!(stores.postgres_number(runs).await, 2);
}
