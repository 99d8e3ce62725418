//! Where a client is, behind a proxy.

use std::time::Duration;

use hyper::Method;
use testkit::river::RiverConfig;
use testkit::{River, eventually};

async fn behind(proxies: &str, address_rate: &str) -> River {
    let settings =
        vec![("WEIR_TRUSTED_PROXIES", proxies.to_owned()), ("WEIR_ADDRESS_RATE", address_rate.to_owned())];
    River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await
}

/// The address that is stored with an event that came with this `X-Forwarded-For`.
async fn stored_address(river: &River, key: &str, forwarded_for: &str) -> String {
    let id = format!("from {forwarded_for}");
    let headers = [("content-type", "application/json"), ("x-forwarded-for", forwarded_for)];
    let body = format!(r#"{{"id":"{id}","event":"x"}}"#);
    assert_eq!(river.client(key).send(Method::POST, "/v1/events", &headers, body).await.status, 202);
    let mut found = Vec::new();
    eventually("the event is stored", Duration::from_secs(20), async || {
        let query =
            river.stores.clickhouse().query("SELECT toString(client_ip) FROM events WHERE event_id = ?");
        found = query.bind(&id).fetch_all::<String>().await.unwrap();
        !found.is_empty()
    })
    .await;
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_a_trusted_proxy_names_is_stored_and_held_to_its_rate() {
    let river = behind("127.0.0.0/8", "1").await;
    let acme = river.customer("acme", None).await;
    assert_eq!(stored_address(&river, &acme.key, "1.2.3.4, 203.0.113.7").await, "::ffff:203.0.113.7");
    assert_eq!(stored_address(&river, &acme.key, "2001:db8::7").await, "2001:db8::7");
    let client = testkit::Client::new(river.ingest, None);
    let guess = async |address: &str| {
        let headers = [("x-forwarded-for", address)];
        client.send(Method::POST, "/v1/events", &headers, "{}").await.status
    };
    // A burst is five seconds' worth.
    for _ in 0..5 {
        assert_eq!(guess("9.9.9.9, 203.0.113.8").await, 401);
    }
    assert_eq!(guess("8.8.8.8, 203.0.113.8").await, 429, "what the client made up is not looked at");
    assert_eq!(guess("203.0.113.9").await, 401);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_believed_who_is_not_trusted() {
    // No limit: the test kit asks with a new key until the node knows it, from the one address that there is.
    let river = behind("", "0").await;
    let acme = river.customer("acme", None).await;
    assert_eq!(stored_address(&river, &acme.key, "203.0.113.7").await, "::ffff:127.0.0.1");
    river.stop().await;
}
