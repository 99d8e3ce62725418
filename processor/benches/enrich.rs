//! What enrichment costs an event, on one thread.
//!
//! `cargo bench -p processor --bench enrich`; with a geo database: `WEIR_GEO_DATABASE=FILE cargo bench ...`.

#![allow(clippy::unwrap_used, clippy::float_arithmetic, reason = "a figure that can't be taken ends the run")]

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use mimalloc::MiMalloc;
use processor::Enricher;
use processor::batch::Placed;
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::Envelope;
use schemas::id::{EventHash, KeyId, LeaseId, Position, ProjectId, TenantId};
use schemas::time::Micros;
use service::config::Settings;
use uuid::Uuid;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Of a full batch of 16 MiB, about.
const BATCH: u32 = 40_000;
const BATCHES: u32 = 25;

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36";
/// As `weir load` sends them.
const PLAIN: &str = r#"{"currency":"EUR","coupon":null,"items":3,"amount":12.5,"note":"the river runs over the weir and every drop"}"#;
const SEGMENT: &str = r#"{"page":{"path":"/pricing","referrer":"https://www.google.com/","search":"?utm_source=google&utm_medium=cpc&utm_campaign=spring","title":"Pricing","url":"https://shop.example/pricing?utm_source=google&utm_medium=cpc&utm_campaign=spring"},"userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15","locale":"en-GB","library":{"name":"analytics.js","version":"npm:next-1.76.0"},"timezone":"Europe/London","campaign":{"source":"google","medium":"cpc","name":"spring"}}"#;
const POSTHOG: &str = r##"{"$os":"Mac OS X","$os_version":"10.15.7","$browser":"Chrome","$device_type":"Desktop","$current_url":"https://shop.example/pricing?utm_source=google&utm_medium=cpc","$host":"shop.example","$pathname":"/pricing","$raw_user_agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36","$browser_version":142,"$browser_language":"en-GB","$screen_height":1120,"$screen_width":1792,"$viewport_height":970,"$viewport_width":1792,"$lib":"web","$lib_version":"1.290.0","$insert_id":"0x8f3k2l1m9n7b5v","$time":1795000000.123,"distinct_id":"0199b6a2-7f1c-7c55-8b0e-2f6b3c1d9e77","$device_id":"0199b6a2-7f1c-7c55-8b0e-2f6b3c1d9e77","$active_feature_flags":["new-checkout","dark-mode"],"$feature/new-checkout":true,"$feature/dark-mode":"test","utm_source":"google","utm_medium":"cpc","$initial_referrer":"https://www.google.com/","$initial_referring_domain":"www.google.com","$referrer":"https://www.google.com/","$referring_domain":"www.google.com","$session_id":"0199b6a2-7f1c-7c55-8b0e-2f6b3c1d9e78","$window_id":"0199b6a2-7f1c-7c55-8b0e-2f6b3c1d9e79","title":"Pricing"}"##;

fn main() {
    let mut settings = Settings::from_environment();
    let enricher = Enricher::read(&mut settings);
    settings.finish().unwrap();
    println!("{BATCHES} batches of {BATCH} events, {enricher:?}");
    let agents: Vec<String> = (0..2_000).map(|n| CHROME.replace("142.0", &format!("{n}.0"))).collect();
    for (name, context, properties) in
        [("plain", "", PLAIN), ("Segment page", SEGMENT, "{}"), ("PostHog pageview", "", POSTHOG)]
    {
        print(name, &enricher, |_| placed(CHROME, Ipv4Addr::new(89, 160, 20, 112), context, properties));
    }
    print("plain, 2,000 user agents", &enricher, |n| {
        let agent = usize::try_from(n.wrapping_mul(2_654_435_761) >> 8).unwrap() % agents.len();
        placed(&agents[agent], Ipv4Addr::new(89, 160, 20, 112), "", PLAIN)
    });
    print("plain, all addresses new", &enricher, |n| {
        placed(CHROME, Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761)), "", PLAIN)
    });
}

fn placed<'a>(user_agent: &'a str, ip: Ipv4Addr, context: &'a str, properties: &'a str) -> Placed<'a> {
    let client_ip: Ipv6Addr = ip.to_ipv6_mapped();
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
            client_ip: Some(client_ip),
            user_agent,
        },
        event: Event {
            hash: EventHash(1),
            kind: EventKind::Track,
            flags: EventFlags::default(),
            timestamp: Micros(1),
            id: "a",
            name: "e",
            user_id: "",
            anonymous_id: "",
            properties,
            context,
            extra: "",
        },
    }
}

fn print<'a>(name: &str, enricher: &Enricher, event: impl Fn(u32) -> Placed<'a>) {
    let events: Vec<Placed<'a>> = (0..BATCH).map(event).collect();
    let begun = cpu_nanos();
    for _ in 0..BATCHES {
        let mut cache = enricher.begin_batch();
        for placed in &events {
            black_box(enricher.enrich(black_box(placed), &mut cache));
        }
    }
    let nanos = (cpu_nanos() - begun) / f64::from(BATCHES * BATCH);
    println!("{name:26} {nanos:8.1} ns");
}

/// Of this thread, as Linux counts it: other users of the core are not counted.
fn cpu_nanos() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}
