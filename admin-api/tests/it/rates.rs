use hyper::Method;
use testkit::river::RiverConfig;
use testkit::{Client, Reply, River};

async fn login(client: &Client, from: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
    client.send(Method::POST, "/v1/auth/login", &headers, "{}").await
}

fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_often_waits_and_others_do_not() {
    let settings = vec![
        ("WEIR_SIGN_IN_ADDRESS_RATE", "3".to_owned()),
        ("WEIR_ADMIN_ADDRESS_RATE", "8".to_owned()),
        ("WEIR_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ];
    let river = River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await;
    let client = Client::new(river.admin, None);
    for left in [2, 1, 0] {
        let reply = login(&client, "192.0.2.1").await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert_eq!(header(&reply, "ratelimit-policy"), "\"address\";q=8;w=10, \"sign-in\";q=3;w=60");
        assert!(header(&reply, "ratelimit").contains(&format!("\"sign-in\";r={left};t=")), "{reply:?}");
    }
    let refused = login(&client, "192.0.2.1").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_requests"));
    let wait: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(!header(&refused, "x-request-id").is_empty());
    assert_eq!(login(&client, "192.0.2.2").await.status, 400, "another address");
    let elsewhere = client.send(Method::GET, "/v1/me", &[("x-forwarded-for", "192.0.2.1")], "").await;
    assert_eq!(elsewhere.status, 401, "what is not of /v1/auth has another limit");
    let mut last = 0;
    for _ in 0..8 {
        last = client.send(Method::GET, "/v1/nothing", &[("x-forwarded-for", "192.0.2.3")], "").await.status;
    }
    assert_eq!(last, 404);
    let last = client.send(Method::GET, "/v1/nothing", &[("x-forwarded-for", "192.0.2.3")], "").await;
    assert_eq!(last.status, 429, "what does not exist counts, too");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_asks_too_often_waits_wherever_it_asks_from() {
    let settings = vec![("WEIR_ADMIN_CALLER_RATE", "4".to_owned()), ("WEIR_ACCOUNTS_KEY", "ab".repeat(32))];
    let river = River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await;
    river.customer("acme", None).await;
    let new = r#"{"name":"t","permissions":["tenant.read"],"expires_at":"2027-06-01T00:00:00Z"}"#;
    let made = river.operator().post_json("/v1/tenants/acme/tokens", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json()["secret"].as_str().unwrap().to_owned();
    let client = Client::new(river.admin, Some(&token));
    for left in [3, 2, 1, 0] {
        let reply = client.send(Method::GET, "/v1/tenants/me", &[], "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(header(&reply, "ratelimit").contains(&format!("\"caller\";r={left};t=")), "{reply:?}");
    }
    let refused = client.send(Method::GET, "/v1/tenants/me", &[], "").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_requests"));
    let operator = river.operator().send(Method::GET, "/v1/tenants/acme", &[], "").await;
    assert_eq!(operator.status, 200);
    river.stop().await;
}
