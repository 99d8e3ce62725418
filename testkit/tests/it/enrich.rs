//! What an event says of its user stands in columns of its row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::river::{Customer, RiverConfig};
use testkit::stores::{optional, required};
use testkit::{River, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, \
    like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36";
/// When the test database was made.
const BUILT: u64 = 1_770_245_369;

fn cities() -> PathBuf {
    Path::new(&required("WEIR_TEST_GEO")).join("GeoIP2-City-Test.mmdb")
}

async fn river_with(database: &Path) -> River {
    let settings = vec![
        ("WEIR_GEO_DATABASE", database.display().to_string()),
        ("WEIR_TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ("WEIR_ADDRESS_RATE", "0".to_owned()),
    ];
    River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await
}

/// Sends a body and returns the row of the event with that id.
async fn row(
    river: &River,
    key: &str,
    path: &str,
    headers: &[(&str, &str)],
    id: &str,
    body: &Value,
) -> Value {
    let headers = [&[JSON], headers].concat();
    let reply = river.client(key).send(Method::POST, path, &headers, body.to_string()).await;
    assert!([200, 202].contains(&reply.status), "{reply:?}");
    let query = "SELECT toJSONString(map(
            'browser', browser, 'browser_version', toString(browser_version), 'os', os, 'os_version', os_version,
            'device', device_type, 'country', geo_country, 'region', geo_region, 'city', geo_city,
            'continent', geo_continent, 'zone', geo_time_zone, 'built', toString(toUInt32(geo_built)),
            'utm', concat(utm_source, '|', utm_medium, '|', utm_campaign, '|', utm_term, '|', utm_content),
            'ip', toString(client_ip), 'flags', toString(flags), 'version', toString(enrichment)))
        FROM events WHERE event_id = ?";
    let mut found = Vec::new();
    eventually("the event is stored", Duration::from_secs(20), async || {
        found = river.stores.clickhouse().query(query).bind(id).fetch_all::<String>().await.unwrap();
        !found.is_empty()
    })
    .await;
    serde_json::from_str(&found[0]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_segments_and_posthogs_sdks_are_enriched() {
    let river = river_with(&cities()).await;
    let acme = river.customer("acme", None).await;
    // A server that sends what its user did.
    let context =
        json!({"ip": "89.160.20.112", "userAgent": IPHONE, "campaign": {"source": "news", "name": "spring"}});
    let event =
        json!({"type": "track", "event": "e", "userId": "u", "messageId": "segment", "context": context});
    let body = json!({"batch": [event]});
    let headers = [("user-agent", "analytics-node/2.2.0"), ("x-forwarded-for", "175.16.199.9")];
    let expected = json!({
        "browser": "Mobile Safari", "browser_version": "17", "os": "iOS", "os_version": "17.4", "device": "mobile",
        "country": "SE", "region": "Östergötland County", "city": "Linköping", "continent": "EU",
        "zone": "Europe/Stockholm", "built": BUILT.to_string(), "utm": "news||spring||",
        "ip": "::ffff:175.16.199.9", "flags": "2", "version": "2",
    });
    assert_eq!(row(&river, &acme.key, "/v1/batch", &headers, "segment", &body).await, expected);
    // A browser that sends for itself.
    let properties =
        json!({"distinct_id": "u", "$current_url": "https://a.b/?utm_source=x%20y&utm_content=z"});
    let body = json!({"api_key": acme.key, "batch": [
        {"event": "$pageview", "uuid": "posthog", "properties": properties, "timestamp": "2026-11-05T09:30:00Z"}]});
    let headers = [("user-agent", CHROME), ("x-forwarded-for", "2001:218::7")];
    let expected = json!({
        "browser": "Chrome", "browser_version": "142", "os": "Windows", "os_version": "10", "device": "desktop",
        "country": "JP", "region": "", "city": "", "continent": "AS", "zone": "Asia/Tokyo",
        "built": BUILT.to_string(), "utm": "x y||||z", "ip": "2001:218::7", "flags": "0", "version": "2",
    });
    assert_eq!(row(&river, &acme.key, "/batch", &headers, "posthog", &body).await, expected);
    river.stop().await;
}

async fn city_and_built(river: &River, acme: &Customer, id: &str) -> (String, u64) {
    let body = json!({"id": id, "event": "e", "context": {"ip": "89.160.20.112"}});
    let row = row(river, &acme.key, "/v1/events", &[], id, &body).await;
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    (text("country") + "/" + &text("city"), text("built").parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_geo_database_is_replaced_while_it_is_in_use_and_a_broken_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("geo.mmdb");
    let put = |bytes: &[u8]| {
        let new = folder.path().join("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    let whole = std::fs::read(cities()).unwrap();
    put(&whole);
    let river = river_with(&file).await;
    let acme = river.customer("acme", None).await;
    assert_eq!(city_and_built(&river, &acme, "before").await, ("SE/Linköping".to_owned(), BUILT));

    let countries = Path::new(&required("WEIR_TEST_GEO")).join("GeoLite2-Country-Test.mmdb");
    put(&std::fs::read(countries).unwrap());
    let mut tries = 0;
    eventually("the new database is used", Duration::from_secs(20), async || {
        tries += 1;
        city_and_built(&river, &acme, &format!("new {tries}")).await.0 == "SE/"
    })
    .await;

    put(&whole[..whole.len() / 2]);
    // Looked at twice in this time, and refused, which shows in the log alone: the one before it stays, and the next
    // good one is taken.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(city_and_built(&river, &acme, "broken").await.0, "SE/");
    put(&whole);
    eventually("the good database is used", Duration::from_secs(20), async || {
        tries += 1;
        city_and_built(&river, &acme, &format!("good {tries}")).await.0 == "SE/Linköping"
    })
    .await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flat_database_of_countries_is_read() {
    let Some(countries) = optional("WEIR_TEST_GEO_COUNTRIES") else {
        eprintln!("left out: the database could not be installed");
        return;
    };
    let river = river_with(Path::new(&countries)).await;
    let acme = river.customer("acme", None).await;
    let (place, built) = city_and_built(&river, &acme, "a").await;
    assert!(place == "SE/" && built > BUILT, "{place} {built}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_decides_within_a_second_how_much_of_an_address_is_kept() {
    let river = river_with(&cities()).await;
    let acme = river.customer("acme", None).await;
    let other = river.customer("other", None).await;
    let mut turn = 0;
    // The address that is kept, the flags, and where that and the address that the event names were looked up.
    let mut kept = async |key: &str, forwarded_for: &str, context: Value| {
        turn += 1;
        let id = format!("{turn}");
        let body = json!({"id": id, "event": "e", "timestamp": "2026-11-05T09:30:00Z", "context": context});
        let row = row(&river, key, "/v1/events", &[("x-forwarded-for", forwarded_for)], &id, &body).await;
        ["ip", "flags", "city"].map(|name| row[name].as_str().unwrap().to_owned())
    };
    let named = json!({"ip": "89.160.20.112"});
    let v4 = "175.16.199.9";
    assert_eq!(kept(&acme.key, v4, json!({})).await, ["::ffff:175.16.199.9", "0", "Changchun"]);
    for (policy, v4_kept, v6_kept, city) in
        [("truncated", "::ffff:175.16.199.0", "2001:218:5::", "Changchun"), ("none", "::", "::", "")]
    {
        let body = json!({"client_ip": policy}).to_string();
        let reply = river.operator().send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], body).await;
        assert_eq!((reply.status, &reply.json()["client_ip"]), (200, &policy.into()));
        // The promise: what comes a second later is kept by the new policy.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(kept(&acme.key, v4, json!({})).await, [v4_kept, "64", city]);
        assert_eq!(kept(&acme.key, "2001:218:5:6::7", json!({})).await[0], v6_kept);
        assert_eq!(kept(&acme.key, v4, named.clone()).await, [v4_kept, "64", ""], "looked up by its network");
        assert_eq!(kept(&acme.key, v4, json!({"ip": "175.16.199.77"})).await[2], "Changchun");
        assert_eq!(kept(&other.key, v4, named.clone()).await, ["::ffff:175.16.199.9", "0", "Linköping"]);
    }
    let body = json!({"client_ip": "half"}).to_string();
    let reply = river.operator().send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], body).await;
    assert_eq!(reply.code(), "invalid_argument");
    let made = json!({"name": "third", "client_ip": "none"}).to_string();
    let made = river.operator().send(Method::POST, "/v1/operator/tenants", &[JSON], made).await.json();
    assert_eq!(made["client_ip"], "none");
    river.stop().await;
}
