//! Bad input gets the right status and a problem that names the field; good neighbours are accepted.

use hyper::Method;
use schemas::key::ApiKey;
use testkit::{Client, Reply, River, eventually};

use crate::river::metered;

const JSON: (&str, &str) = ("content-type", "application/json");

fn assert_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{reply:?}");
    assert_eq!(reply.headers.get("content-type").unwrap(), "application/problem+json");
    let problem = reply.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], reply.headers.get("x-request-id").unwrap().to_str().unwrap());
    assert_eq!(problem["message"], problem["detail"]);
    assert_eq!(problem["type"], format!("/errors/{code}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_good_are_refused_by_their_kind() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let body = r#"{"event":"x"}"#;
    let no_key = Client::new(river.ingest, None).post_json("/v1/events", body).await;
    assert_problem(&no_key, 401, "missing_key");
    let typo = format!("{}x", &customer.key[..customer.key.len() - 1]);
    assert_problem(&river.client(&typo).post_json("/v1/events", body).await, 401, "malformed_key");
    let unknown = ApiKey::generate();
    assert_problem(&river.client(unknown.expose()).post_json("/v1/events", body).await, 401, "unknown_key");
    let id = &customer.key[8..18];
    assert_eq!(
        river.operator().send(Method::DELETE, &format!("/v1/operator/keys/{id}"), &[], "").await.status,
        204
    );
    let client = river.client(&customer.key);
    let took = eventually("the key is refused", std::time::Duration::from_secs(5), async || {
        client.post_json("/v1/events", body).await.status == 401
    })
    .await;
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    assert_problem(&client.post_json("/v1/events", body).await, 401, "revoked_key");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_tenant_is_refused_and_let_in_again() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    for (what, expected) in [("freeze", 403), ("thaw", 202)] {
        let path = format!("/v1/operator/tenants/acme/{what}");
        assert_eq!(river.operator().post_json(&path, r#"{"reason":"abuse"}"#).await.status, 200);
        eventually(what, std::time::Duration::from_secs(1), async || {
            client.post_ids(["x"]).await.status == expected
        })
        .await;
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_good_are_refused_by_their_kind() {
    let settings =
        vec![("WEIR_BODY_BYTES_MAX", "20000".to_owned()), ("WEIR_INFLATED_BYTES_MAX", "40000".to_owned())];
    let config = testkit::river::RiverConfig { settings, ..Default::default() };
    let river = River::start_with(config).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    for (body, code) in [
        (r#"{"event":"#, "invalid_json"),
        (r#"[{"event":"a"},{"event"}]"#, "invalid_json"),
        ("\"text\"", "invalid_batch"),
        ("[]", "invalid_batch"),
        ("", "invalid_json"),
        (r#"{"event":7}"#, "invalid_event"),
        (r#"{"properties":{}}"#, "invalid_event"),
        (r#"{"event":"x","timestamp":"yesterday"}"#, "invalid_event"),
    ] {
        assert_problem(&client.post_json("/v1/events", body).await, 400, code);
    }
    let field =
        client.post_json("/v1/events", r#"[{"event":7}]"#).await.json()["errors"][0]["pointer"].clone();
    assert_eq!(field, "/0/event");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let reply = client.send(Method::POST, "/v1/events", &form, "{}").await;
    assert_problem(&reply, 415, "unsupported_media_type");
    let reply = client.send(Method::POST, "/v1/events", &[JSON, ("content-encoding", "lzma")], "{}").await;
    assert_problem(&reply, 415, "unsupported_encoding");
    let whole = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].as_slice();
    let reply = client.send(Method::POST, "/v1/events", &[JSON, ("content-encoding", "gzip")], whole).await;
    assert_problem(&reply, 400, "invalid_encoding");
    assert_problem(&client.post_json("/v1/events", "x".repeat(20_001)).await, 413, "body_too_large");
    assert_problem(&client.post_json("/v1/events", "x".repeat(20_000)).await, 400, "invalid_json");
    assert_problem(&client.send(Method::GET, "/v1/events", &[], "").await, 405, "method_not_allowed");
    assert_problem(&client.post_json("/v1/nothing", "{}").await, 404, "not_found");
    let page = client.send(Method::GET, "/errors/quota_exceeded", &[], "").await;
    assert!(page.status == 200 && page.body.starts_with(b"# quota_exceeded"));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_neighbours_of_a_bad_event_are_accepted() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let long = "x".repeat(schemas::limit::EVENT_ID_BYTES_MAX + 1);
    let body = format!(
        r#"{{"batch":[{{"id":"good-1","event":"a"}},{{"id":"bad-1","event":null}},17,{{"id":"{long}","event":"a"}},{{"id":"good-2","event":"b"}}]}}"#
    );
    let reply = river.client(&customer.key).post_json("/v1/events", body).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let reply = reply.json();
    assert_eq!(reply["accepted"], 2);
    let rejected = reply["rejected"].as_array().unwrap();
    let places: Vec<_> = rejected.iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 2, 3]);
    assert_eq!((&rejected[0]["id"], &rejected[0]["field"]), (&"bad-1".into(), &"/batch/1/event".into()));
    assert!(rejected.iter().all(|entry| entry["code"] == "invalid_event"), "{rejected:?}");
    metered(&river, &customer, 2).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_held_and_says_when_to_come_back() {
    let river = River::start().await;
    let customer = river.customer("acme", None).await;
    let change = r#"{"rate":1}"#;
    assert_eq!(
        river.operator().send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], change).await.status,
        200
    );
    let client = river.client(&customer.key);
    // The burst is a thousand.
    eventually("the rate holds", std::time::Duration::from_secs(20), async || {
        client.post_ids(0..500).await.status == 429
    })
    .await;
    let reply = client.post_ids(0..500).await;
    assert_problem(&reply, 429, "rate_limited");
    let seconds: u32 = reply.headers.get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!((1..=501).contains(&seconds), "{seconds}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_listener_is_the_operators_alone_and_says_what_is_wrong() {
    let river = River::start().await;
    for token in [None, Some("wrong"), Some("0123456789abcdef0123456789abcdeF")] {
        let reply =
            Client::new(river.operators, token).send(Method::GET, "/v1/operator/tenants", &[], "").await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "unauthorized"), "{token:?}");
    }
    let operator = river.operator();
    let create =
        async |body: &'static str| operator.send(Method::POST, "/v1/operator/tenants", &[JSON], body).await;
    assert_eq!(create(r#"{"name":"acme","plan":"developer"}"#).await.status, 201);
    assert_eq!(create(r#"{"name":"acme","plan":"developer"}"#).await.code(), "conflict");
    assert_eq!(create(r#"{"name":"other","plan":"none"}"#).await.code(), "not_found");
    for bad in [
        r#"{"name":""}"#,
        r#"{"name":"x","quota":-1}"#,
        r#"{"name":"x","id":7}"#,
        r#"{"name":"x","time_zone":"Mars"}"#,
    ] {
        assert_eq!(create(bad).await.code(), "invalid_argument", "{bad}");
    }
    assert_eq!(create("{").await.code(), "invalid_json");
    let made = operator.send(Method::POST, "/v1/tenants/acme/keys", &[JSON], "{}").await;
    assert_eq!(made.status, 201);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let listed = operator.send(Method::GET, "/v1/tenants/acme/keys", &[], "").await;
    assert_eq!(listed.json()["items"][0]["id"], key[8..18]);
    assert!(!String::from_utf8_lossy(&listed.body).contains(&key[19..]), "a key is shown once");
    let half = operator.send(Method::PUT, "/v1/operator/plans/small", &[JSON], r#"{"quota":5}"#).await;
    assert_eq!(half.code(), "invalid_argument", "a limit is never dropped by leaving it out");
    let plan =
        operator.send(Method::PUT, "/v1/operator/plans/small", &[JSON], r#"{"quota":5,"rate":null}"#).await;
    assert_eq!(plan.status, 200);
    let moved = operator
        .send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], r#"{"plan":"small"}"#)
        .await
        .json();
    assert_eq!((&moved["plan"], &moved["quota"]), (&"small".into(), &5.into()));
    assert_eq!(operator.send(Method::GET, "/v1/nothing", &[], "").await.code(), "not_found");
    assert_eq!(
        operator.send(Method::DELETE, "/v1/operator/tenants", &[], "").await.code(),
        "method_not_allowed"
    );
    river.stop().await;
}
