//! What a process shows of its requests: no secret in a log, no rejected event without a count.

use hyper::Method;
use serde_json::json;

use crate::process::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_never_logged_wherever_a_client_puts_it() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    place.run(&["tenant", "create", "acme"]).await;
    let made = place.run_json(&["key", "create", "acme"]).await;
    let key = made["key"].as_str().unwrap();
    let typo = format!("{}x", &key[..key.len() - 1]);
    let log = place.stores.folder.path().join("trace.log");
    let process = place.start_traced("standalone", std::fs::File::create(&log).unwrap()).await;
    let client = process.client(None);
    let text = [("content-type", "text/plain")];
    let mut statuses = Vec::new();
    for key in [key, &typo] {
        let headers = [("authorization", format!("Bearer {key}")), ("x-api-key", key.to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        for (path, headers, body) in [
            ("/v1/events".to_owned(), headers.as_slice(), json!({"event": "e"})),
            (format!("/v1/events?key={key}"), &text, json!({"event": "e"})),
            (format!("/e/?api_key={key}"), &text, json!({"event": 7})),
            (format!("/no/such/path?writeKey={key}"), &text, json!({})),
            ("/v1/batch".to_owned(), &text, json!({"writeKey": key, "batch": [{"type": "page"}]})),
            ("/batch/".to_owned(), &text, json!({"api_key": key, "batch": [{"event": "e"}]})),
            ("/e/".to_owned(), &text, json!([{"event": "e", "properties": {"token": key}}])),
        ] {
            statuses.push(client.send(Method::POST, &path, headers, body.to_string()).await.status);
        }
    }
    assert_eq!(statuses, [202, 202, 400, 404, 200, 200, 200, 401, 401, 401, 404, 401, 401, 401]);
    let metrics = process.metrics().await;
    assert!(process.stop().await.success());
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains("refused") && logged.contains("malformed_key"), "{logged}");
    let secret = &key[19..60];
    for line in logged.lines().chain(metrics.lines()) {
        assert!(!line.contains(secret), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_rejected_without_a_reply_that_says_so_is_counted() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    place.run(&["tenant", "create", "acme"]).await;
    let made = place.run_json(&["key", "create", "acme"]).await;
    let process = place.start("standalone").await;
    let client = process.client(made["key"].as_str());
    for (path, good, bad) in [
        ("/v1/batch", json!({"type": "page"}), json!({"type": "unknown"})),
        ("/batch/", json!({"event": "e", "uuid": "1"}), json!({"event": 7})),
        ("/api/v1/events", json!({"id": "1", "source": "s", "type": "t"}), json!({"id": "1"})),
    ] {
        let events = [good.clone(), bad.clone(), good, bad];
        let body = if path.starts_with("/api") { json!(events) } else { json!({"batch": events}) };
        assert_eq!(client.post_json(path, body.to_string()).await.status / 100, 2, "{path}");
    }
    let metrics = process.metrics().await;
    let count = |route: &str, outcome: &str| -> u64 {
        let counted = metrics.lines().find(|line| {
            line.starts_with("weir_ingest_events_total{")
                && line.contains(&format!("route=\"{route}\""))
                && line.contains(&format!("outcome=\"{outcome}\""))
        });
        counted.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    for (route, accepted, duplicates) in [("segment", 2, 0), ("posthog", 1, 1), ("cloudevents", 1, 1)] {
        assert_eq!(count(route, "accepted"), accepted, "{metrics}");
        assert_eq!(count(route, "duplicate_of_request"), duplicates, "{metrics}");
        assert_eq!(count(route, "invalid_event"), 2, "{metrics}");
    }
    assert!(process.stop().await.success());
}
