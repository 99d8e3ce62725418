use hyper::Method;
use sqlx::Row;
use testkit::{Client, Reply, River};

async fn once(client: &Client, key: &str, path: &str, body: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.send(Method::POST, path, &headers, body.to_owned()).await
}

fn is_replayed(reply: &Reply) -> bool {
    reply.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

async fn projects(operator: &Client) -> usize {
    let list = operator.send(Method::GET, "/v1/tenants/acme/projects?limit=200", &[], "").await;
    list.json()["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_with_one_key_make_one() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let before = projects(&operator).await;
    let tries = (0..50).map(|_| {
        let operator = operator.clone();
        let (path, body) = ("/v1/tenants/acme/projects", r#"{"name":"one"}"#);
        tokio::spawn(async move { once(&operator, "k-1", path, body).await })
    });
    let (mut first, mut replayed, mut running) = (Vec::new(), 0, 0);
    for each in tries.collect::<Vec<_>>() {
        let reply = each.await.unwrap();
        match (reply.status, is_replayed(&reply)) {
            (201, false) => first.push(reply),
            (201, true) => replayed += 1,
            (409, false) => {
                assert_eq!(reply.code(), "still_running");
                assert_eq!(reply.headers["retry-after"], "1");
                running += 1;
            }
            _ => panic!("{reply:?}"),
        }
    }
    assert_eq!((first.len(), first.len() + replayed + running), (1, 50));
    assert_eq!(projects(&operator).await, before + 1);
    let again = once(&operator, "k-1", "/v1/tenants/acme/projects", r#"{"name":"one"}"#).await;
    assert!(is_replayed(&again));
    assert_eq!(
        (again.status, &again.body, &again.headers["etag"]),
        (201, &first[0].body, &first[0].headers["etag"])
    );
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_of_one_tenant_and_route() {
    let river = River::start().await;
    river.customer("acme", None).await;
    river.customer("other", None).await;
    let operator = river.operator();
    let made = once(&operator, "k", "/v1/tenants/acme/projects", r#"{"name":"one"}"#).await;
    assert_eq!(made.status, 201);
    let other = once(&operator, "k", "/v1/tenants/acme/projects", r#"{"name":"two"}"#).await;
    assert_eq!((other.status, other.code().as_str()), (422, "key_reused"));
    assert_eq!(once(&operator, "k", "/v1/tenants/acme/projects?x=1", r#"{"name":"one"}"#).await.status, 422);
    for (path, body) in [
        ("/v1/tenants/other/projects", r#"{"name":"one"}"#),
        ("/v1/tenants/acme/keys", "{}"),
        ("/v1/operator/tenants", r#"{"name":"third"}"#),
    ] {
        let reply = once(&operator, "k", path, body).await;
        assert_eq!((reply.status, is_replayed(&reply)), (201, false), "{path}: {reply:?}");
        let again = once(&operator, "k", path, body).await;
        assert_eq!((again.status, is_replayed(&again), &again.body), (201, true, &reply.body), "{path}");
    }
    // An operator's request is the platform's, so the tenant is a part of it.
    let (freeze, reason) =
        (|tenant: &str| format!("/v1/operator/tenants/{tenant}/freeze"), r#"{"reason":"abuse"}"#);
    assert_eq!(once(&operator, "f", &freeze("acme"), reason).await.status, 200);
    let another = once(&operator, "f", &freeze("other"), reason).await;
    assert_eq!((another.status, another.code().as_str()), (422, "key_reused"));
    assert_eq!(once(&operator, "f2", &freeze("other"), reason).await.json()["status"], "frozen");
    for key in ["", "\u{e9}", &"x".repeat(256)] {
        let reply = once(&operator, key, "/v1/tenants/acme/projects", r#"{"name":"five"}"#).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_argument"), "{key}");
        assert_eq!(reply.json()["errors"][0]["header"], "Idempotency-Key");
    }
    let longest = once(&operator, &"x".repeat(255), "/v1/tenants/acme/projects", r#"{"name":"five"}"#).await;
    assert_eq!(longest.status, 201);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_again_and_stands_nowhere_in_the_database() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    let made = once(&operator, "k", "/v1/tenants/acme/keys", "{}").await;
    let again = once(&operator, "k", "/v1/tenants/acme/keys", "{}").await;
    assert!(is_replayed(&again));
    assert_eq!(made.json()["key"], again.json()["key"]);
    let kept =
        sqlx::query("SELECT id, reply FROM idempotent_request").fetch_one(&river.stores.pool).await.unwrap();
    let (id, reply): (Vec<u8>, Vec<u8>) = (kept.get(0), kept.get(1));
    assert_eq!(id.len(), 32);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    for secret in [key.as_bytes(), b"wk_live_", b"\"id\""] {
        assert!(!reply.windows(secret.len()).any(|part| part == secret));
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_kept() {
    let river = River::start().await;
    river.customer("acme", None).await;
    let operator = river.operator();
    // Each is sent as soon as the one before is answered, often enough to meet a claim that outlives its reply.
    let refused = [(r#"{"name":""}"#, 400), (r#"{"name":"default"}"#, 409)];
    let tries = refused.iter().cycle().take(50).chain(&[(r#"{"name":"good"}"#, 201)]);
    for &(body, status) in tries {
        let reply = once(&operator, "k", "/v1/tenants/acme/projects", body).await;
        assert_eq!((reply.status, is_replayed(&reply)), (status, false), "{body}: {reply:?}");
        assert!(status != 409 || reply.code() == "conflict", "{reply:?}");
    }
    for _ in 0..50 {
        let again = once(&operator, "k", "/v1/tenants/acme/projects", r#"{"name":"good"}"#).await;
        assert!(is_replayed(&again), "{again:?}");
    }
    river.stop().await;
}
