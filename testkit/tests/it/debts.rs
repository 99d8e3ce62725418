//! What a tenant owes is known before the body of its next request is read; and what costs work is charged.

use std::time::{Duration, Instant};

use hyper::Method;
use schemas::limit::{EVENT_BYTES_MAX, EVENT_ID_BYTES_MAX};
use testkit::river::RiverConfig;
use testkit::{Client, River, eventually};

use crate::river::metered;

const JSON: (&str, &str) = ("content-type", "application/json");
/// What is refused as soon as it is read.
const NO_JSON: &str = "[";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_largest_size_with_the_longest_id_and_a_time_far_ahead_is_stored_with_its_neighbours()
{
    let river = River::start().await;
    let customer = river.customer("acme", Some(100)).await;
    let id = "i".repeat(EVENT_ID_BYTES_MAX);
    let event = |fill: usize| {
        let fill = "x".repeat(fill);
        format!(r#"{{"event":"e","id":"{id}","timestamp":"2299-01-01T00:00:00Z","x":"{fill}"}}"#)
    };
    // Bytes of a frame's head of the event, its id, its name and the braces around the rest.
    let fill = EVENT_BYTES_MAX - 4 - 45 - EVENT_ID_BYTES_MAX - "e".len() - r#"{"x":""}"#.len();
    let body =
        |fill| format!(r#"[{{"event":"a","id":"before"}},{},{{"event":"b","id":"behind"}}]"#, event(fill));
    let client = river.client(&customer.key);
    let reply = client.post_json("/v1/events", body(fill + 1)).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    assert_eq!(reply.json()["rejected"][0]["code"], "event_too_large");
    assert_eq!(reply.json()["accepted"], 2);
    let reply = client.post_json("/v1/events", body(fill)).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (202, &3.into()), "{reply:?}");
    metered(&river, &customer, 3).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repetitions_and_bad_events_are_charged_and_a_debt_is_refused_before_the_body_is_read() {
    let river = River::start().await;
    let fill = "x".repeat(20);
    let repeated =
        format!("[{}]", vec![format!(r#"{{"event":"e","id":"1","x":"{fill}"}}"#); 2_000].join(","));
    let bad = format!("[{}]", vec!["1"; 2_000].join(","));
    for (name, body, first) in [("repeats", repeated, 202), ("bad", bad, 400)] {
        let customer = river.customer(name, None).await;
        let change = river.operator();
        let path = format!("/v1/operator/tenants/{name}");
        assert_eq!(change.send(Method::PATCH, &path, &[JSON], r#"{"rate":100}"#).await.status, 200);
        let client = river.client(&customer.key);
        let began = Instant::now();
        eventually("the rate holds", Duration::from_secs(20), async || {
            let reply = client.post_json("/v1/events", body.clone()).await;
            assert!([first, 429].contains(&reply.status), "{reply:?}");
            reply.status == 429
        })
        .await;
        let (mut refused, until) = (0, Instant::now() + Duration::from_secs(2));
        // 2,000 events at 100 a second, of which the burst covers 1,000.
        while Instant::now() < until {
            let reply = client.post_json("/v1/events", body.clone()).await;
            assert_eq!((reply.status, reply.code().as_str()), (429, "rate_limited"), "{reply:?}");
            let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=11).contains(&seconds), "{seconds}");
            assert!(reply.headers.contains_key("ratelimit"));
            refused += 1;
        }
        println!("{name}: {refused} refused in 2 s, {:?} in all", began.elapsed());
        assert_eq!(
            client.post_json("/v1/events", NO_JSON).await.status,
            429,
            "it would be 400 if it were read"
        );
    }
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_which_nothing_is_accepted_is_charged_by_its_bytes_to_the_tenant_of_its_header() {
    let river = River::start().await;
    let no_json = format!("[{}", "1,".repeat(150 * 1024));
    let no_event = format!(r#"[{{"x":"{}"}}]"#, "x".repeat(300 * 1024));
    for (name, body) in [("text", no_json), ("nameless", no_event)] {
        charged_by_bytes(&river, name, body).await;
    }
    river.stop().await;
}

async fn charged_by_bytes(river: &River, name: &str, broken: String) {
    let customer = river.customer(name, None).await;
    let change = river.operator();
    let path = format!("/v1/operator/tenants/{name}");
    assert_eq!(change.send(Method::PATCH, &path, &[JSON], r#"{"rate":1}"#).await.status, 200);
    let client = river.client(&customer.key);
    let mut seen = Vec::new();
    eventually("the rate holds", Duration::from_secs(20), async || {
        seen.push(client.post_json("/v1/events", broken.clone()).await.status);
        seen.last() == Some(&429)
    })
    .await;
    // The burst covers 1,000 events, and 300 KiB count as 301; the first may have come before the new rate was known.
    let (refused, read) = seen.split_last().unwrap();
    assert!(
        *refused == 429 && (4..20).contains(&read.len()) && read.iter().all(|status| *status == 400),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_refused_before_the_body_is_read_until_the_plan_changes() {
    let river = River::start().await;
    let customer = river.customer("acme", Some(3)).await;
    let client = river.client(&customer.key);
    assert_eq!(client.post_ids(0..5).await.json()["accepted"], 3);
    // "Used up" is believed for a moment only: then it is asked for again.
    eventually("it is known to be used up", Duration::from_secs(5), async || {
        let whole = client.post_ids(5..6).await;
        assert_eq!((whole.status, whole.code().as_str()), (402, "quota_exceeded"), "{whole:?}");
        let unread = client.post_json("/v1/events", NO_JSON).await;
        assert!([400, 402].contains(&unread.status), "{unread:?}");
        assert!(unread.headers.contains_key("ratelimit") && !unread.headers.contains_key("retry-after"));
        unread.status == 402
    })
    .await;
    let more = r#"{"quota":4}"#;
    assert_eq!(
        river.operator().send(Method::PATCH, "/v1/operator/tenants/acme", &[JSON], more).await.status,
        200
    );
    let took = eventually("the plan is known", Duration::from_secs(5), async || {
        client.post_ids(6..7).await.status == 202
    })
    .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    metered(&river, &customer, 4).await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_with_a_key_off_a_page_pays_for_the_work_on_what_is_refused() {
    let settings = vec![("WEIR_ADDRESS_RATE", "1".to_owned())];
    let river = River::start_with(RiverConfig { settings, ..RiverConfig::default() }).await;
    let customer = river.customer("acme", Some(1)).await;
    assert_eq!(river.client(&customer.key).post_ids(["1"]).await.status, 202);
    let stranger = Client::new(river.ingest, None);
    let event = format!(r#"{{"event":"e","uuid":"2","properties":{{"x":"{}"}}}}"#, "x".repeat(100_000));
    let body = format!(r#"{{"api_key":"{}","batch":[{event},{event}]}}"#, customer.key);
    // A second's worth of requests, five at once, and each of these counts as four.
    let mut seen = Vec::new();
    eventually("the address is limited", Duration::from_secs(10), async || {
        let reply = stranger.post_json("/batch", body.clone()).await;
        assert!([402, 429].contains(&reply.status), "{reply:?}");
        seen.push(reply.code());
        reply.code() == "address_limited"
    })
    .await;
    assert!(seen.len() <= 4, "{seen:?}");
    river.stop().await;
}
