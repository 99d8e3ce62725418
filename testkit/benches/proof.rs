//! What `weir verify` costs: seconds, CPU and memory of a process that proves, by events and tenants. Run against
//! stores of the tests:
//!
//! `python3 dev/river.py test -- cargo bench -p testkit --bench proof -- EVENTS TENANTS [REQUEST_EVENTS]`
//!
//! Frames are appended as ingest makes them, and a processor stores and meters them. Each proof is a process of its
//! own, so that its memory is no other's.

#![allow(
    clippy::unwrap_used,
    clippy::float_arithmetic,
    reason = "a bench stops where something is wrong, and measures"
)]
#![expect(clippy::print_stdout, reason = "a bench prints what it measures")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{Append, EventLog};
use processor::{ProcessorConfig, own};
use proof::Processing;
use schemas::event::Event;
use schemas::frame::Envelope;
use schemas::id::{EventHash, ProjectId, TenantId};
use schemas::time::Micros;
use service::clickhouse::{ClickHouseConfig, client};
use service::clock::Clock;
use service::config::{Secret, Settings};
use service::postgres::{self, Role};
use service::task::Tasks;
use testkit::{Stores, eventually, frame};

/// Over so many hours events are spread, and their period begins so long before now.
const HOURS: i64 = 24;
const PARTITIONS: u32 = 4;
/// Events that are appended at once.
const AT_ONCE: u64 = 100_000;
const DEADLINE: Duration = Duration::from_secs(60);
/// In the arguments of the process that proves.
const PROVE: &str = "prove";
/// About what an event has.
const PROPERTIES: &str = concat!(
    r#"{"order":"a-5d1c3e","amount":1249,"currency":"EUR","items":3,"coupon":"","#,
    r#""referrer":"https://shop.example.com/sale?utm_source=mail&utm_campaign=autumn","plan":"team"}"#
);
const NAMES: [&str; 4] = ["order_completed", "page_viewed", "signed_up", "item_added"];

#[tokio::main]
async fn main() {
    // Cargo adds an argument of its own.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [PROVE, url, clickhouse, database, folder] =
        *arguments.iter().map(String::as_str).collect::<Vec<_>>()
    {
        return prove(url, clickhouse, database, Path::new(folder)).await;
    }
    let number =
        |place: usize, default: u64| arguments.get(place).map_or(default, |text| text.parse().unwrap());
    let (events, tenants) = (number(0, 1_000_000), number(1, 10));
    let stores = Stores::fresh().await;
    let begun = Instant::now();
    let log =
        Arc::new(LocalLog::open(LocalConfig::new(stores.folder.path().join("log"), PARTITIONS)).unwrap());
    append(&*log, events, tenants, number(2, 100)).await;
    println!("{events} events of {tenants} tenants: appended in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    process(&stores, Arc::clone(&log)).await;
    let ranges = stores.postgres_number("SELECT count(*) FROM batch_ledger").await;
    let hours = stores.postgres_number("SELECT count(*) FROM usage_hour").await;
    println!("processed in {:.1?}: {ranges} ranges, {hours} rows of usage", begun.elapsed());
    drop(log);
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([PROVE, &stores.database_url, &stores.clickhouse.url, &stores.clickhouse.database])
        .arg(stores.folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn append(log: &dyn EventLog, events: u64, tenants: u64, request_events: u64) {
    let began = Micros(Clock::system().now_micros()).hour().0 - HOURS * Micros::HOUR;
    for chunk in (0..events).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let to = (chunk + AT_ONCE).min(events);
        let mut records = Vec::new();
        for first in (chunk..to).step_by(usize::try_from(request_events).unwrap()) {
            let at =
                began + i64::try_from(u128::from(first) * 24 * 3_600_000_000 / u128::from(events)).unwrap();
            let number = first / request_events;
            let tenant = i64::try_from(number % tenants + 1).unwrap();
            let envelope = Envelope {
                period_start: began / Micros::SECOND,
                received_at: Micros(at),
                ..frame::envelope(TenantId(tenant), ProjectId(tenant))
            };
            let ids: Vec<String> = (first..(first + request_events).min(to)).map(id).collect();
            for (partition, payload) in frames(&envelope, &ids) {
                records.push(Append { partition, timestamp_ms: at / 1_000, payload });
            }
        }
        log.append(records, DEADLINE).await.unwrap();
    }
}

fn id(number: u64) -> String {
    format!("{:016x}-{number:012x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Of one request, by partition.
fn frames(envelope: &Envelope<'_>, ids: &[String]) -> Vec<(u32, Bytes)> {
    let mut of: Vec<Vec<Event<'_>>> = vec![Vec::new(); PARTITIONS as usize];
    for (name, id) in NAMES.iter().cycle().zip(ids) {
        let hash = EventHash::of(envelope.project, id);
        let timestamp = envelope.received_at;
        let event =
            Event { timestamp, name, properties: PROPERTIES, user_id: &id[..14], ..frame::event(hash, id) };
        of[hash.partition(PARTITIONS) as usize].push(event);
    }
    let some = (0..).zip(of).filter(|(_, events)| !events.is_empty());
    some.map(|(partition, events)| (partition, frame::frame_of(envelope, events))).collect()
}

fn config(folder: &Path) -> ProcessorConfig {
    let config = ProcessorConfig::read(&mut Settings::new([]), folder);
    ProcessorConfig { erases: false, rolls_up: false, reconcile_every: Duration::ZERO, ..config }
}

/// Until the log's end.
async fn process(stores: &Stores, log: Arc<LocalLog>) {
    let (pool, mut tasks) = (stores.pool_of(Role::Processor), Tasks::default());
    own::bind_log(&stores.pool_of(Role::Ingest), &*log).await.unwrap();
    let ends: u64 = log.bounds().await.unwrap().iter().map(|bounds| bounds.end).sum();
    let config = config(stores.folder.path());
    let processing = Processing::build(config, pool, stores.clickhouse(), log, Clock::system());
    tasks.try_spawn("the processor", processing.run(tasks.shutdown()));
    eventually("all is processed", Duration::from_secs(3_600), async || {
        let done = stores.postgres_number("SELECT sum(next_offset)::bigint FROM partition_cursor").await;
        done.unsigned_abs() == ends
    })
    .await;
    tasks.stop().await.unwrap();
}

async fn prove(url: &str, clickhouse: &str, database: &str, folder: &Path) {
    let pool = postgres::pool(&Secret::from(url), 8, Some(Role::Processor)).unwrap();
    let (url, database) = (clickhouse.to_owned(), database.to_owned());
    let clickhouse = client(&ClickHouseConfig { url, database, user: None, password: None });
    let log = LocalLog::open_read_only(folder.join("log")).unwrap();
    let config = config(folder);
    let begun = Instant::now();
    let stores = proof::Stores::new(&pool, &clickhouse, &log, &config);
    let verdict = proof::verify::verify(&stores).await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    assert!(verdict.holds(), "{verdict:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: f64 = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    let micros = ticks * 10_000.0 / f64::from(u32::try_from(verdict.accepted).unwrap());
    println!("proved in {took:.1} s, {micros:.2} us of CPU an event, {peak}");
}
