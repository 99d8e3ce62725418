//! Canaries: secrets that are put in everywhere, and looked for in all that is logged and stored.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use testkit::{Client, eventually};

use crate::process::{Place, Process};

/// What a customer sends in confidence: it is stored, and never logged.
const CONFIDENCE: &str = "canary-of-an-event-4b1f";
const WRONG_TOKEN: &str = "canary-of-a-token-that-is-wrong-77e0";
const DATABASE_PASSWORD: &str = "canary-of-postgres-c0de";
const REDIS_PASSWORD: &str = "canary-of-redis-93ac";

/// Sends the key and the event by every way that SDKs know.
async fn send(process: &Process, key: &str) {
    let client = process.client(None);
    let authorization = format!("Bearer {key}");
    let (bearer, plain) = ([("authorization", authorization.as_str())], [("content-type", "text/plain")]);
    let event = json!({"event": "e", "properties": {"p": CONFIDENCE}});
    for (path, headers, body) in [
        ("/v1/events".to_owned(), bearer.as_slice(), event.clone()),
        (format!("/v1/events?key={key}"), &plain, event.clone()),
        (
            "/v1/batch".to_owned(),
            &plain,
            json!({"writeKey": key, "batch": [{"type": "page", "name": CONFIDENCE}]}),
        ),
        ("/batch/".to_owned(), &plain, json!({"api_key": key, "batch": [event]})),
        ("/e/".to_owned(), &plain, json!([{"event": CONFIDENCE, "properties": {"token": key}}])),
    ] {
        let reply = client.send(Method::POST, &path, headers, body.to_string()).await;
        assert!(matches!(reply.status, 200 | 202), "{path}: {reply:?}");
    }
    let bad = json!([{"event": 7, "properties": {"p": CONFIDENCE}}]);
    let refused = client.send(Method::POST, "/v1/events", &bearer, bad.to_string()).await;
    assert_eq!(refused.status, 400);
}

/// Makes a tenant and a key over HTTP, and is refused with a token that is wrong; the key.
async fn over_http(process: &Process) -> String {
    let operator = process.operator();
    let tenant = json!({"name": "acme", "plan": "unlimited"}).to_string();
    assert_eq!(operator.post_json("/v1/operator/tenants", tenant).await.status, 201);
    let made = operator.post_json("/v1/tenants/acme/keys", "{}").await;
    for (address, path) in
        [(process.operator_address(), "/v1/operator/tenants"), (process.admin_address(), "/v1/tenants/acme")]
    {
        let refused = Client::new(address, Some(WRONG_TOKEN)).send(Method::GET, path, &[], "").await;
        assert_eq!(refused.status, 401);
    }
    made.json()["key"].as_str().unwrap().to_owned()
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// All rows of all tables of Postgres, as text.
async fn dump(place: &Place) -> String {
    let pool = &place.stores.pool;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut dump = String::new();
    for table in tables {
        let rows = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(pool).await.unwrap();
        writeln!(dump, "{table}\n{}", rows.join("\n")).unwrap();
    }
    dump
}

fn holds(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len()).any(|part| part == secret.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_and_what_is_stored_makes_no_usable_key() {
    let mut place = Place::new(None).await;
    // Nobody listens there: what is said about that must not name the password.
    place.set("REDIS_URL", &format!("redis://weir:{REDIS_PASSWORD}@127.0.0.1:1"));
    // The tests' Postgres lets everybody in, and asks for no password.
    let (user, rest) = place.stores.database_url.split_once('@').unwrap();
    let name = user.trim_start_matches("postgres://").split(':').next().unwrap();
    let url = format!("postgres://{name}:{DATABASE_PASSWORD}@{rest}");
    place.set("DATABASE_URL", &url);
    place.run(&["migrate"]).await;
    let log = place.stores.folder.path().join("trace.log");
    let process = place.start_traced("standalone", std::fs::File::create(&log).unwrap()).await;
    let key = over_http(&process).await;
    let client = process.client(Some(&key));
    eventually("ingest knows the key", Duration::from_secs(5), async || {
        client.post_json("/v1/events", "").await.status != 401
    })
    .await;
    send(&process, &key).await;
    eventually("all of it is stored", Duration::from_secs(30), async || {
        place.run_json(&["usage", "acme"]).await["stored"] == 5
    })
    .await;
    let data = place.stores.folder.path().join("data");
    eventually("keys are saved", Duration::from_secs(10), async || data.join("directory").exists()).await;
    let metrics = process.metrics().await;
    assert!(process.stop().await.success());

    let (_, secret) = key.rsplit_once('_').unwrap();
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.len() > 10_000 && logged.contains("TRACE"), "{logged}");
    let operators = testkit::river::OPERATOR_TOKEN;
    for canary in [secret, CONFIDENCE, WRONG_TOKEN, REDIS_PASSWORD, operators, DATABASE_PASSWORD] {
        let found = logged.lines().chain(metrics.lines()).find(|line| line.contains(canary));
        assert_eq!(found, None, "{canary}");
    }

    // Ten letters: not even a part of the key may stand anywhere.
    let parts: Vec<&str> = (0..secret.len() - 10).step_by(5).map(|at| &secret[at..at + 10]).collect();
    let dump = dump(&place).await;
    assert!(dump.contains("acme"), "{dump}");
    let rows: Vec<String> = place
        .stores
        .clickhouse()
        .query(
            "SELECT concat(event_id, event, user_id, anonymous_id, properties, context, extra, \
            user_agent) FROM events",
        )
        .fetch_all()
        .await
        .unwrap();
    let rows = rows.join("\n");
    assert_eq!(rows.matches(CONFIDENCE).count(), 5, "{rows}");
    let files = files(&data);
    assert!(files.iter().any(|(_, bytes)| holds(bytes, CONFIDENCE)), "the log holds the events");
    for part in parts {
        assert!(!dump.contains(part) && !rows.contains(part), "{part}");
        for (name, bytes) in &files {
            assert!(!holds(bytes, part), "{part} stands in {name}");
        }
    }
}
