//! Foreign dialects over HTTP: each has its routes, its key, its bodies and its word for success.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;
use testkit::{Client, Reply, River};

use crate::river::metered;

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain;charset=UTF-8");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// What the SDKs of that family take for success, on every route.
fn assert_success(reply: &Reply, path: &str) {
    assert_eq!(reply.status, 200, "{path} {reply:?}");
    assert_eq!(reply.headers.get("content-type").unwrap(), "application/json");
    assert!(reply.json().is_object(), "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_routes_take_a_key_from_the_body_alone() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let client = Client::new(river.ingest, None);
    let mut stored = 0;
    for path in ["/batch", "/batch/", "//batch", "/e", "/e/", "/i/v0/e", "/i/v0/e/", "/capture", "/capture/"]
    {
        let event = json!({"event": "$pageview", "distinct_id": "u", "uuid": format!("id-{stored}")});
        let body = json!({"api_key": customer.key, "batch": [event], "sent_at": "2026-11-05T09:30:00Z"});
        assert_success(&client.send(Method::POST, path, &[JSON], body.to_string()).await, path);
        stored += 1;
    }
    metered(&river, &customer, stored).await;
    let pages = "SELECT count() FROM events WHERE type = 'page' AND event = '$pageview' AND user_id = 'u' \
        AND extra = ''";
    assert_eq!(river.stores.clickhouse_number(pages).await, 9);
    for body in [json!({"event": "e"}), json!({"api_key": "wk", "event": "e"})] {
        let reply = client.send(Method::POST, "/batch/", &[JSON], body.to_string()).await;
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_browser_forms_are_read_by_what_they_hold() {
    use base64::Engine;
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let client = Client::new(river.ingest, None);
    let event = |id: &str| {
        json!([{"uuid": id, "event": "e", "properties": {"token": customer.key, "distinct_id": "u"}, "offset": 5}])
            .to_string()
    };
    let base64 = |id: &str| base64::engine::general_purpose::STANDARD.encode(event(id));
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        Bytes::from(encoder.finish().unwrap())
    };
    let bodies: [(&str, (&str, &str), Bytes); 6] = [
        ("/e/?ip=0&ver=1.449.2&compression=gzip-js", TEXT, gzip(&event("1"))),
        ("/e/?compression=base64", FORM, format!("data={}", base64("2").replace('=', "%3D")).into()),
        ("/e/?compression=base64&beacon=1", TEXT, format!("data={}", base64("3")).into()),
        ("/i/v0/e/", FORM, event("4").into()),
        ("/batch/", FORM, gzip(&event("5"))),
        ("/e/?retry_count=1", JSON, event("6").into()),
    ];
    for (path, content_type, body) in bodies {
        assert_success(&client.send(Method::POST, path, &[content_type], body).await, path);
    }
    metered(&river, &customer, 6).await;
    let good = r#"SELECT count() FROM events WHERE user_id = 'u' AND properties = '{"distinct_id":"u"}' AND flags = 0"#;
    assert_eq!(river.stores.clickhouse_number(good).await, 6);
    let lz64 = client.send(Method::POST, "/e/?compression=lz64", &[FORM], "data=N4Ig").await;
    assert_eq!((lz64.status, lz64.code().as_str()), (400, "invalid_json"));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_key_says_whose_the_events_are_and_engage_says_who_a_user_is() {
    let river = River::start().await;
    let acme = river.customer("acme", Some(100)).await;
    let other = river.customer("other", Some(100)).await;
    let client = Client::new(river.ingest, None);
    let event = |key: &str| json!({"event": "e", "distinct_id": "u", "token": key}).to_string();
    let foreign = format!(r#"{{"batch":[{}],"api_key":"{}"}}"#, event(&other.key), acme.key);
    assert_success(&client.send(Method::POST, "/batch", &[JSON], foreign).await, "/batch");
    let form = format!("api_key={}&data=%5B{}%5D", acme.key, event(&other.key));
    assert_success(&client.send(Method::POST, "/e", &[FORM], form).await, "/e");
    let engage = json!({"$token": acme.key, "$distinct_id": "u", "$set": {"plan": "pro"}});
    assert_success(&client.send(Method::POST, "/engage/", &[JSON], engage.to_string()).await, "/engage/");
    let both = format!("[{},{}]", event(&acme.key), event(&other.key));
    let reply = client.send(Method::POST, "/e", &[JSON], both).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_batch"), "{reply:?}");
    metered(&river, &acme, 3).await;
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 3);
    let known = r#"SELECT count() FROM events WHERE type = 'identify' AND event = '$identify' AND user_id = 'u'
        AND extra = '{"$set":{"plan":"pro"}}'"#;
    assert_eq!(river.stores.clickhouse_number(known).await, 1);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_v1_names_each_event_in_its_reply() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(3)).await;
    let client = river.client(&customer.key);
    let body = json!({"created_at": "2026-11-05T09:30:00Z", "batch": [
        {"uuid": "good", "event": "e", "distinct_id": "u", "options": {}, "properties": {}},
        {"uuid": "good", "event": "e", "distinct_id": "u", "options": {}, "properties": {}},
        {"uuid": "bad", "event": 7, "distinct_id": "u"},
        {"uuid": "also good", "event": "e", "distinct_id": "u"},
        {"uuid": "third", "event": "e", "distinct_id": "u"},
        {"uuid": "over the quota", "event": "e", "distinct_id": "u"},
        {"event": 8},
    ]});
    let reply = client.post_json("/i/v1/analytics/events", body.to_string()).await;
    assert_success(&reply, "v1");
    let results = reply.json()["results"].clone();
    let details = "event must be a string";
    assert_eq!(results["bad"], json!({"result": "drop", "details": details}));
    let over = &results["over the quota"];
    assert!(over["result"] == "drop" && over["details"].as_str().unwrap().contains("quota"), "{over}");
    for id in ["good", "also good", "third"] {
        assert_eq!(results[id], json!({"result": "ok"}), "{id}");
    }
    assert_eq!(results.as_object().unwrap().len(), 5);
    metered(&river, &customer, 3).await;
    // The key is a header's here: without one the body is not even read.
    let reply = Client::new(river.ingest, None).post_json("/i/v1/analytics/events", "{").await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "missing_key"));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_are_taken_in_every_mode_and_answered_without_a_body() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let client = river.client(&customer.key);
    let event = |id: &str| {
        let data = json!({"n": 1});
        json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "subject": "u", "data": data})
    };
    let send = async |content_type: &str, headers: &[(&str, &str)], body: String| {
        let headers = [&[("content-type", content_type)], headers].concat();
        let reply = client.send(Method::POST, "/api/v1/events", &headers, body).await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{content_type} {reply:?}");
        assert!(reply.headers.get("content-type").is_none() && reply.headers.contains_key("x-request-id"));
    };
    send("application/cloudevents+json", &[], event("1").to_string()).await;
    send("application/cloudevents+json; charset=UTF-8", &[], event("2").to_string()).await;
    send("application/cloudevents-batch+json", &[], json!([event("3"), event("4"), {"id": 5}]).to_string())
        .await;
    send("application/json", &[], event("5").to_string()).await;
    send("application/json", &[], json!([event("6")]).to_string()).await;
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
        ("ce-subject", "u"),
    ];
    send("application/json", &attributes, r#"{"n": 1}"#.to_owned()).await;
    // The same in another mode is the same event.
    send("application/cloudevents+json", &[], event("7").to_string()).await;
    metered(&river, &customer, 7).await;
    let ids = "SELECT count() FROM events WHERE event_id LIKE '/s _' AND event = 't' AND user_id = 'u'
        AND JSONExtractInt(properties, 'n') = 1 AND JSONExtractString(extra, 'source') = '/s'";
    assert_eq!(river.stores.clickhouse_number(ids).await, 7);
    let reply = client.post_json("/api/v1/events", r#"{"id":"1","type":"t"}"#).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_event"));
    assert_eq!(reply.json()["errors"][0]["pointer"], "/source");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_and_rudderstacks_keys_may_stand_in_the_body_or_in_basic() {
    use base64::Engine;
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let client = Client::new(river.ingest, None);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:", customer.key));
    let basic = format!("Basic {basic}");
    let mut stored = 0;
    for path in ["/v1/track", "//v1/t/", "/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"] {
        for in_body in [true, false] {
            let mut call =
                json!({"type": "track", "event": "e", "userId": "u", "messageId": format!("{stored}")});
            if path != "/v1/track" && path != "//v1/t/" {
                call = json!({"batch": [call]});
            }
            if in_body {
                call["writeKey"] = customer.key.clone().into();
            }
            let headers: &[_] = if in_body { &[TEXT] } else { &[JSON, ("authorization", &basic)] };
            assert_success(&client.send(Method::POST, path, headers, call.to_string()).await, path);
            stored += 1;
        }
    }
    metered(&river, &customer, stored).await;
    let leaked = format!(
        "SELECT count() FROM events WHERE position(concat(properties, context, extra), '{}') > 0",
        customer.key
    );
    assert_eq!(river.stores.clickhouse_number(&leaked).await, 0);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_corrected_in_every_dialect_that_says_when_it_sent() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let client = river.client(&customer.key);
    // Ten seconds before it was sent, by a clock that is years slow.
    let (happened, sent) = ("2020-01-01T00:00:00Z", "2020-01-01T00:00:10Z");
    let posthog = json!({"batch": [{"event": "e", "uuid": "3", "timestamp": happened}]});
    for (path, headers, body) in [
        ("/v1/events", vec![JSON], json!({"id": "1", "event": "e", "timestamp": happened, "sent_at": sent})),
        (
            "/v1/batch",
            vec![JSON],
            json!({"sentAt": sent, "batch": [{"messageId": "2", "type": "page", "timestamp": happened}]}),
        ),
        ("/i/v1/analytics/events", vec![JSON, ("posthog-request-timestamp", sent)], posthog),
        (
            "/e/?_=1577836810000",
            vec![TEXT],
            json!([{"event": "e", "uuid": "4", "timestamp": happened, "api_key": customer.key}]),
        ),
    ] {
        let reply = client.send(Method::POST, path, &headers, body.to_string()).await;
        assert!(reply.status < 300, "{path} {reply:?}");
    }
    let ahead = r#"{"id":"5","event":"e","timestamp":"2299-01-01T00:00:00Z"}"#;
    assert_eq!(client.post_json("/v1/events", ahead).await.status, 202);
    metered(&river, &customer, 5).await;
    let stores = &river.stores;
    let corrected = "SELECT count() FROM events WHERE flags = 8 AND JSONExtractInt(extra, \
        'client_timestamp') = 1577836800000000
        AND abs(dateDiff('second', timestamp, received_at) - 10) <= 1";
    assert_eq!(stores.clickhouse_number(corrected).await, 4);
    let clamped =
        "SELECT count() FROM events WHERE flags = 16 AND timestamp = received_at AND event_id = '5'";
    assert_eq!(stores.clickhouse_number(clamped).await, 1);
    river.stop().await;
}
