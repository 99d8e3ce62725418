//! What a browser needs, and what no reply may carry.

use hyper::Method;
use serde_json::json;
use testkit::river::RiverConfig;
use testkit::{Client, Reply, River};

use crate::river::metered;

const ROUTES: [&str; 9] = [
    "/v1/events",
    "/v1/batch",
    "/v1/track",
    "/v1/t",
    "/batch/",
    "/e/",
    "/i/v0/e/",
    "/i/v1/analytics/events",
    "/api/v1/events",
];

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).unwrap_or_else(|| panic!("no {name}: {reply:?}")).to_str().unwrap()
}

/// The members of a list in a header, in lower case.
fn list(reply: &Reply, name: &str) -> Vec<String> {
    header(reply, name).split(',').map(|member| member.trim().to_ascii_lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_on_every_route_without_a_key() {
    let river = River::start().await;
    let client = Client::new(river.ingest, None);
    for path in ROUTES {
        let asked = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type,x-retry-count"),
        ];
        let reply = client.send(Method::OPTIONS, path, &asked, "").await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{path} {reply:?}");
        assert_eq!(header(&reply, "access-control-allow-origin"), "*");
        assert!(list(&reply, "access-control-allow-methods").contains(&"post".to_owned()), "{path}");
        let allowed = list(&reply, "access-control-allow-headers");
        for name in ["authorization", "content-type", "x-retry-count", "*"] {
            assert!(allowed.contains(&name.to_owned()), "{name}");
        }
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
        assert!(header(&reply, "access-control-max-age").parse::<u32>().unwrap() > 0);
    }
    assert_eq!(client.send(Method::OPTIONS, "/v1/nothing", &[], "").await.status, 404);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_read_every_reply_also_a_refusal() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(1)).await;
    let client = river.client(&customer.key);
    for (expected, reply) in [
        (202, client.post_ids(["1"]).await),
        (400, client.post_json("/v1/events", "{").await),
        (402, client.post_ids(["2"]).await),
        (401, Client::new(river.ingest, None).post_ids(["3"]).await),
        (404, client.post_json("/nothing", "{}").await),
        (405, client.send(Method::GET, "/v1/events", &[], "").await),
    ] {
        assert_eq!(reply.status, expected, "{reply:?}");
        assert_eq!(header(&reply, "access-control-allow-origin"), "*");
        let exposed = list(&reply, "access-control-expose-headers");
        for name in ["retry-after", "ratelimit", "ratelimit-policy", "x-request-id"] {
            assert!(exposed.contains(&name.to_owned()), "{name}");
        }
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_other_methods_name_those_that_there_are() {
    let river = River::start().await;
    let client = Client::new(river.ingest, None);
    for path in ROUTES {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            let reply = client.send(method.clone(), path, &[], "").await;
            assert_eq!((reply.status, header(&reply, "allow")), (405, "POST, OPTIONS"), "{method} {path}");
        }
    }
    let page = client.send(Method::GET, "/errors/overloaded", &[], "").await;
    let head = client.send(Method::HEAD, "/errors/overloaded", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(header(&head, "content-length"), page.body.len().to_string());
    let reply = client.send(Method::POST, "/errors/overloaded", &[], "").await;
    assert_eq!((reply.status, header(&reply, "allow")), (405, "GET, HEAD, OPTIONS"));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_brings_its_key_in_the_query() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let client = Client::new(river.ingest, None);
    let text = [("content-type", "text/plain;charset=UTF-8")];
    let track = |id: &str| json!({"type": "track", "event": "e", "messageId": id});
    for (path, name, body, status) in [
        ("/v1/events", "key", json!({"event": "e", "id": "1"}), 202),
        ("/v1/events", "writeKey", json!([{"event": "e", "id": "2"}]), 202),
        ("/v1/batch", "writeKey", json!({"batch": [track("3")]}), 200),
        ("/beacon/v1/batch", "writeKey", json!({"batch": [track("4")]}), 200),
        ("/v1/track", "key", track("5"), 200),
        ("/e/", "api_key", json!([{"event": "e", "uuid": "6"}]), 200),
        ("/api/v1/events", "key", json!({"id": "7", "source": "s", "type": "t"}), 204),
        ("/i/v1/analytics/events", "token", json!({"batch": [{"event": "e", "uuid": "8"}]}), 200),
    ] {
        let path = format!("{path}?x=1&{name}={}", customer.key);
        let reply = client.send(Method::POST, &path, &text, body.to_string()).await;
        assert_eq!(reply.status, status, "{path} {reply:?}");
    }
    metered(&river, &customer, 8).await;
    // A query that is wrong is refused before the body, and the reply does not repeat it.
    let wrong = format!("/v1/events?key={}", &customer.key[..customer.key.len() - 1]);
    let reply = client.send(Method::POST, &wrong, &text, r#"{"event":"e"}"#).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "malformed_key"));
    assert!(!String::from_utf8_lossy(&reply.body).contains(&customer.key[8..30]));
    // A header counts more than a query.
    let stranger = river.customer("stranger", Some(100)).await;
    let path = format!("/v1/events?key={}", customer.key);
    assert_eq!(river.client(&stranger.key).post_json(&path, r#"{"event":"e"}"#).await.status, 202);
    metered(&river, &stranger, 1).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_makes_an_sdk_retry_or_follow() {
    let settings = vec![("WEIR_BODY_BYTES_MAX", "20000".to_owned())];
    let river = River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await;
    let customer = river.customer("acme", Some(1)).await;
    let exhausted = river.client(&customer.key);
    assert_eq!(exhausted.post_ids(["1"]).await.status, 202);
    // A tenant whose quota is used up is refused before its body is read, whatever is wrong with that.
    let client = river.client(&river.customer("other", None).await.key);
    let event = |id: &str| json!({"event": "e", "type": "track", "id": id, "source": "s", "uuid": id});
    for path in ROUTES {
        let one = event("2");
        let many = if path == "/v1/batch" { json!({"batch": [one]}) } else { one };
        for (status, body) in [
            (402, many.to_string()),
            (400, "{".to_owned()),
            (400, "[".to_owned()),
            (400, "\"text\"".to_owned()),
            (413, "x".repeat(20_001)),
        ] {
            let sender = if status == 402 { &exhausted } else { &client };
            let reply = sender.post_json(path, body).await;
            assert_eq!(reply.status, status, "{path} {reply:?}");
            assert!(!reply.headers.contains_key("retry-after"), "{path} {reply:?}");
            assert!(!reply.headers.contains_key("location"), "{path} {reply:?}");
            let problem = reply.json();
            assert!(problem["code"].is_string() && problem["message"].is_string(), "{path} {problem}");
            assert_eq!(header(&reply, "content-type"), "application/problem+json");
        }
    }
    river.stop().await;
}
