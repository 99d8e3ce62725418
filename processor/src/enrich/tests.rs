use std::net::IpAddr;
use std::path::PathBuf;

use proptest::prelude::*;
use schemas::event::{Event, EventKind};
use schemas::frame::Envelope;
use schemas::id::{EventHash, KeyId, LeaseId, Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

/// An event as an SDK might send it.
#[derive(Debug, Clone, Copy, Default)]
struct Sent<'a> {
    user_agent: &'a str,
    client_ip: Option<&'a str>,
    context: &'a str,
    properties: &'a str,
    flags: EventFlags,
}

fn placed<'a>(sent: &Sent<'a>) -> Placed<'a> {
    let mapped = |ip: &str| AddressPolicy::Full.kept(ip.parse().unwrap()).unwrap();
    Placed {
        partition: 0,
        position: Position::new(0, 0),
        envelope: Envelope {
            tenant: TenantId(1),
            project: ProjectId(1),
            key: KeyId::from_number(1).unwrap(),
            lease: LeaseId::NONE,
            period_start: 0,
            received_at: Micros(5_000_000),
            request_id: Uuid::nil(),
            client_ip: sent.client_ip.map(mapped),
            user_agent: sent.user_agent,
        },
        event: Event {
            hash: EventHash::of(ProjectId(1), "a"),
            kind: EventKind::Track,
            flags: sent.flags,
            timestamp: Micros(1),
            id: "a",
            name: "e",
            user_id: "",
            anonymous_id: "",
            properties: sent.properties,
            context: sent.context,
            extra: "",
        },
    }
}

/// All columns that say something.
fn columns(enricher: &Enricher, sent: &Sent<'_>) -> Value {
    let mut cache = enricher.begin_batch();
    let placed = placed(sent);
    let enriched = enricher.enrich(&placed, &mut cache);
    let [source, medium, campaign, term, content] = enriched.utm();
    let all = json!({
        "enrichment": enriched.enrichment(),
        "browser": enriched.browser(),
        "browser_version": enriched.browser_version(),
        "os": enriched.os(),
        "os_version": enriched.os_version(),
        "device_type": enriched.device_type(),
        "geo_country": enriched.geo_country(),
        "geo_region": enriched.geo_region(),
        "geo_city": enriched.geo_city(),
        "geo_continent": enriched.geo_continent(),
        "geo_time_zone": enriched.geo_time_zone(),
        "geo_built": enriched.geo_built(),
        "utm_source": source,
        "utm_medium": medium,
        "utm_campaign": campaign,
        "utm_term": term,
        "utm_content": content,
    });
    let Value::Object(all) = all else { unreachable!() };
    Value::Object(all.into_iter().filter(|(_, value)| *value != json!("") && *value != json!(0)).collect())
}

fn golden(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/enrichment").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

#[test]
fn a_version_of_the_rules_gives_what_it_has_always_given() {
    let (_, inputs) = golden("inputs.jsonl");
    let enricher = Enricher::default();
    let mut given = String::new();
    for input in inputs.lines() {
        let input: Value = serde_json::from_str(input).unwrap();
        let text = |name: &str| input[name].as_str().unwrap_or_default();
        let (user_agent, context, properties) = (text("user_agent"), text("context"), text("properties"));
        let sent = Sent { user_agent, context, properties, ..Sent::default() };
        given += &format!("{}\n", columns(&enricher, &sent));
    }
    let (_, expected) = golden(&format!("v{VERSION}.jsonl"));
    if given != expected {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let file = folder.join("enrichment.jsonl");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&file, given).unwrap();
        panic!(
            "version {VERSION} never gave such columns: make this version {}, with {} as its golden file",
            VERSION + 1,
            file.display()
        );
    }
}

#[test]
fn crawlers_that_claim_a_machine_are_bots_with_few_exceptions() {
    let (_, crawlers) = golden("crawlers.txt");
    let crawlers: Vec<_> = crawlers.lines().filter(|line| !line.starts_with('#')).collect();
    let people = crawlers.iter().filter(|text| !matches!(agent::agent(text).device, "bot" | "other")).count();
    // Of all 2,116 that are known: 1.7 %. What is left calls itself by a name alone, or is used by people.
    // Ten of the others are found by names that this list taught (`GotSiteMonitor`), as whole words don't reach them.
    assert!(people <= 36, "{people} of {}", crawlers.len());
    assert!(crawlers.len() >= 120);
}

#[test]
fn apps_that_have_a_word_of_crawlers_in_their_name_are_used_by_people() {
    let (_, apps) = golden("apps.txt");
    let apps: Vec<_> = apps.lines().filter(|line| !line.starts_with('#')).collect();
    let bots: Vec<_> = apps.iter().filter(|text| agent::agent(text).device == "bot").collect();
    assert!(bots.is_empty(), "{} of {}: {bots:#?}", bots.len(), apps.len());
    assert!(apps.len() >= 25);
}

#[test]
fn a_word_of_crawlers_makes_a_bot_if_it_stands_alone_or_behind_compatible() {
    let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
    for (machine, expected) in [
        ("(Windows NT 10.0; Win64; x64)", "desktop"),
        ("(Windows NT 10.0; Win64; x64; Acme Scan)", "bot"),
        ("(Windows NT 10.0; Win64; x64; acme-monitor/1.0)", "bot"),
        ("(Windows NT 10.0; Win64; x64; AcmeScan/1.0)", "desktop"),
        ("(Windows NT 10.0; Win64; x64; acme_scan/1.0)", "desktop"),
        ("(compatible; AcmeScan/1.0; Windows NT 10.0)", "bot"),
        ("(compatible; Acme; Windows NT 10.0; AcmeScan/1.0)", "desktop"),
        ("(Linux; Android 13; Pixel 7; wv; AcmeCrawler/1.0)", "bot"),
    ] {
        assert_eq!(agent::agent(&format!("Mozilla/5.0 {machine} {chrome}")).device, expected, "{machine}");
    }
    // Unambiguous words count in an app's name, too.
    assert_eq!(agent::agent("AcmeSpider/1.0 CFNetwork/1410 Darwin/22.6.0").device, "bot");
}

/// A database of MaxMind's own tests, which `make test` brings.
fn test_database(name: &str) -> PathBuf {
    let folder = Settings::from_environment().optional("WEIR_TEST_GEO", "set by make test");
    PathBuf::from(folder.expect("WEIR_TEST_GEO is not set: run `make test`")).join(name)
}

fn place(enricher: &Enricher, sent: &Sent<'_>) -> [String; 5] {
    let mut cache = enricher.begin_batch();
    let placed = placed(sent);
    let found = enricher.enrich(&placed, &mut cache);
    [found.geo_country(), found.geo_region(), found.geo_city(), found.geo_continent(), found.geo_time_zone()]
        .map(str::to_owned)
}

const LINKOEPING: [&str; 5] = ["SE", "Östergötland County", "Linköping", "EU", "Europe/Stockholm"];
const CHANGCHUN: [&str; 5] = ["CN", "Jilin Sheng", "Changchun", "AS", "Asia/Harbin"];
const JAPAN: [&str; 5] = ["JP", "", "", "AS", "Asia/Tokyo"];
const NOTHING: [&str; 5] = [""; 5];

#[test]
fn a_place_is_that_of_the_address_that_the_event_names_or_came_from() {
    let enricher = Enricher::with_geo(&test_database("GeoIP2-City-Test.mmdb")).unwrap();
    let (linkoeping, changchun) = (Some("89.160.20.112"), Some("175.16.199.9"));
    for (client_ip, context, properties, expected) in [
        (linkoeping, "", "", LINKOEPING),
        (Some("2001:218::1"), "", "", JAPAN),
        (changchun, r#"{"ip":"89.160.20.112"}"#, "", LINKOEPING),
        (changchun, "", r#"{"$ip":"89.160.20.112"}"#, LINKOEPING),
        (None, r#"{"ip":"::ffff:89.160.20.112"}"#, "", LINKOEPING),
        (changchun, r#"{"ip":""}"#, r#"{"$ip":null}"#, CHANGCHUN),
        // An event that names an address that is none, or nobody's, gets no place: not that of its request either.
        (changchun, r#"{"ip":"0.0.0.0"}"#, "", NOTHING),
        (changchun, r#"{"ip":"localhost"}"#, "", NOTHING),
        (changchun, "", r#"{"$geoip_disable":true}"#, NOTHING),
        (changchun, "", r#"{"$geoip_disable":false}"#, CHANGCHUN),
        (Some("127.0.0.1"), "", "", NOTHING),
        (Some("8.8.8.8"), "", "", NOTHING),
        (None, "", "", NOTHING),
    ] {
        let sent = Sent { client_ip, context, properties, ..Sent::default() };
        assert_eq!(place(&enricher, &sent), expected, "{sent:?}");
    }
}

#[test]
fn an_address_that_the_event_names_is_looked_up_whole_only_where_the_tenant_keeps_whole_ones() {
    let enricher = Enricher::with_geo(&test_database("GeoIP2-City-Test.mmdb")).unwrap();
    let short = EventFlags::ADDRESS_SHORT;
    for (context, flags, expected) in [
        // Of 89.160.20.0/24 the database knows a part that does not begin with the network.
        (r#"{"ip":"89.160.20.112"}"#, EventFlags::default(), LINKOEPING),
        (r#"{"ip":"89.160.20.112"}"#, short, NOTHING),
        (r#"{"ip":"175.16.199.9"}"#, short, CHANGCHUN),
    ] {
        let sent = Sent { context, flags, ..Sent::default() };
        assert_eq!(place(&enricher, &sent), expected, "{sent:?}");
    }
    // What came with the request has been shortened already.
    let sent = Sent { client_ip: Some("89.160.20.112"), flags: short, ..Sent::default() };
    assert_eq!(place(&enricher, &sent), LINKOEPING);
}

#[test]
fn the_row_names_the_database_whether_or_not_it_knew_the_address() {
    let enricher = Enricher::with_geo(&test_database("GeoIP2-City-Test.mmdb")).unwrap();
    assert_eq!(
        columns(&enricher, &Sent::default()),
        json!({"enrichment": VERSION, "geo_built": 1_770_245_369})
    );
}

#[test]
fn a_file_that_is_no_whole_database_of_places_is_refused() {
    let good = std::fs::read(test_database("GeoIP2-City-Test.mmdb")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geo.mmdb");
    assert!(matches!(Enricher::with_geo(&path), Err(GeoError::Read(_))));
    for (bytes, what) in [
        (&good[..0], "empty"),
        (&good[..good.len() / 2], "half of it"),
        (&good[..good.len() - 1], "all but the last byte"),
        (&good[good.len() / 2..], "the second half"),
        (b"not a database".as_slice(), "a text"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Enricher::with_geo(&path), Err(GeoError::Format(_))), "{what}");
    }
    let invalid = Enricher::with_geo(&test_database("GeoIP2-City-Test-Invalid-Node-Count.mmdb"));
    assert!(matches!(invalid, Err(GeoError::Format(_))));
    let networks = Enricher::with_geo(&test_database("GeoLite2-ASN-Test.mmdb"));
    assert!(matches!(networks, Err(GeoError::NoPlaces(_))));
    let mut settings = Settings::new([("WEIR_GEO_DATABASE".to_owned(), path.display().to_string())]);
    Enricher::read(&mut settings);
    let mistakes = settings.finish().unwrap_err().to_string();
    assert!(
        mistakes.starts_with("WEIR_GEO_DATABASE=") && mistakes.contains("is not a whole database"),
        "{mistakes}"
    );
}

#[test]
fn a_batch_keeps_its_database_and_gives_every_event_what_it_would_get_alone() {
    let enricher = Enricher::with_geo(&test_database("GeoIP2-City-Test.mmdb")).unwrap();
    let mut cache = enricher.begin_batch();
    let agents = ["curl/8", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", ""];
    let addresses: [IpAddr; 3] = ["89.160.20.112", "8.8.8.8", "175.16.199.9"].map(|ip| ip.parse().unwrap());
    for turn in 0..50_usize {
        let address = addresses[turn % 3].to_string();
        let sent = Sent { user_agent: agents[turn / 2 % 3], client_ip: Some(&address), ..Sent::default() };
        let alone = columns(&enricher, &sent);
        let placed = placed(&sent);
        let together = enricher.enrich(&placed, &mut cache);
        assert_eq!(together.browser(), alone["browser"].as_str().unwrap_or_default());
        assert_eq!(together.geo_city(), alone["geo_city"].as_str().unwrap_or_default());
    }
}

proptest! {
    #[test]
    fn nothing_that_anybody_sends_panics_and_nothing_grows_beyond_its_limit(
        user_agent in prop_oneof![".{0,80}", "(Mozilla/5\\.0|Windows NT |Android |bot|\
            Version/|[0-9]{1,12}|[._/;()é ]|Chrome/|Safari/|iPhone OS ){0,12}"],
        context in any_object(), properties in any_object(), cut in 0_usize..400,
    ) {
        let enricher = Enricher::default();
        let context = &context[..context.floor_char_boundary(cut)];
        let sent = Sent { user_agent: &user_agent, context, properties: &properties, ..Sent::default() };
        let mut cache = enricher.begin_batch();
        let placed = placed(&sent);
        let enriched = enricher.enrich(&placed, &mut cache);
        prop_assert!(enriched.utm().iter().all(|value| value.len() <= 256));
        prop_assert!(enriched.os_version().len() <= 17);
    }
}

fn any_object() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("userAgent"),
        Just("ip"),
        Just("campaign"),
        Just("page"),
        Just("url"),
        Just("search"),
        Just("source"),
        Just("$ip"),
        Just("$current_url"),
        Just("$raw_user_agent"),
        Just("utm_source"),
        Just("utm_"),
        Just("$"),
    ];
    let text = prop_oneof![
        ".{0,300}".prop_map(Value::from),
        "\\?(utm_(source|term)=|[%&+=#a-f0-9é]){0,200}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
    ];
    let object = proptest::collection::vec((key.clone(), text.clone()), 0..4).prop_map(|members| {
        members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()
    });
    proptest::collection::vec((key, prop_oneof![text, object]), 0..6).prop_map(|members| {
        members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>().to_string()
    })
}
