//! What senders without a key cost a node: memory, time of its processors, and how long a client with a key waits
//! meanwhile.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::JoinSet;

use super::Edge;
use super::raw::Raw;
use super::tenants::{latencies, percentile};

const MIB: u64 = 1 << 20;
/// Well below `WEIR_INFLATED_BYTES_MAX`, with the ends.
const FILLED_BYTES: usize = 30 << 20;
const PATIENT: [(&str, &str); 2] = [("WEIR_REQUEST_DEADLINE_MS", "8000"), ("WEIR_IDLE_DEADLINE_MS", "60000")];
/// What a node may hold for all of them: one inflated body, and what is made of it.
const GROWTH_MAX: u64 = 160 * MIB;

/// A request without a key whose body is `open`, then `text` until it has so many bytes, and `close`; under gzip.
fn request(path: &str, open: &str, text: &str, close: &str, bytes: usize) -> Arc<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(open.as_bytes()).unwrap();
    gzip.write_all(text.repeat(bytes / text.len()).as_bytes()).unwrap();
    gzip.write_all(close.as_bytes()).unwrap();
    let body = gzip.finish().unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: weir\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Arc::new([head.as_bytes(), &body].concat())
}

/// One event whose properties have as many members as fit.
fn members(bytes: usize) -> Arc<Vec<u8>> {
    request(
        "/batch",
        r#"{"event":"e","properties":{"token":"no","#,
        r#""":0,"#,
        r#""distinct_id":1}}"#,
        bytes,
    )
}

/// A batch around which a context of as many members stands as may be.
fn context() -> Arc<Vec<u8>> {
    let open = r#"{"batch":[{"type":"track","event":"e","context":{"a":1}}],"context":{"#;
    request("/v1/batch", open, r#""":0,"#, r#""z":0}}"#, 15 << 20)
}

/// The status of the reply, however long it takes on a busy machine; 0 if the connection ends without one.
pub(super) async fn send(address: SocketAddr, request: Arc<Vec<u8>>) -> u16 {
    let mut raw = Raw::connect(address).await;
    raw.send(request.as_slice()).await;
    loop {
        if let Some(seen) = raw.reply().await {
            return seen.status;
        }
        if raw.more(Duration::from_secs(1)).await == Some(0) {
            return 0;
        }
    }
}

impl Edge {
    /// Processor time that the node has used.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process().pid())).unwrap();
        // From the state on, user and system time are the 12th and 13th field. Linux has 100 ticks a second for all
        // programs.
        let fields = stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The most memory that it has held since it was last asked.
    fn peak_bytes(&self) -> u64 {
        let folder = format!("/proc/{}", self.process().pid());
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        std::fs::write(format!("{folder}/clear_refs"), "5").unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_without_a_key_cost_little_memory_however_many_they_are() {
    let mut grown = Vec::new();
    for (what, request) in [("properties", members(FILLED_BYTES)), ("context", context())] {
        for count in [4, 40, 400] {
            // Each finds an address that owes nothing.
            let edge = Edge::start_as("ingest", &PATIENT).await;
            edge.assert_serves().await;
            let (before, cpu, started) = (edge.process().resident_bytes(), edge.cpu(), Instant::now());
            edge.peak_bytes();
            let mut senders = JoinSet::new();
            (0..count).for_each(|_| drop(senders.spawn(send(edge.address, Arc::clone(&request)))));
            let mut statuses = senders.join_all().await;
            let growth = edge.peak_bytes().saturating_sub(before);
            statuses.sort_unstable();
            statuses.dedup();
            println!(
                "{count} x {what}, {} bytes each: grew by {} MiB, {:?} of processor time in {:?}, {statuses:?}",
                request.len(),
                growth / MIB,
                edge.cpu() - cpu,
                started.elapsed()
            );
            grown.push((what, count, growth));
            edge.assert_serves().await;
        }
    }
    let failures: Vec<_> = grown.iter().filter(|(_, _, growth)| *growth > GROWTH_MAX).collect();
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_key_gets_little_processor_time_and_others_are_served() {
    let lasting = Duration::from_secs(10);
    let edge = Edge::start_as("ingest", &PATIENT).await;
    let key = edge.tenant("other").await;
    let alone = latencies(&edge, &key, 202, Duration::from_secs(3)).await;
    let request = members(4 << 20);
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    let (cpu, mut sent) = (edge.cpu(), 0);
    let started = Instant::now();
    for _ in 0..4 {
        let (address, request, stop) = (edge.address, Arc::clone(&request), Arc::clone(&stop));
        senders.spawn(async move {
            let mut answered = 0;
            // As many as one was seen to send, and then some.
            while !stop.load(Ordering::Relaxed) && answered < 100 {
                send(address, Arc::clone(&request)).await;
                answered += 1;
            }
            answered
        });
    }
    while !senders.is_empty() && started.elapsed() < lasting {
        match tokio::time::timeout(lasting.saturating_sub(started.elapsed()), senders.join_next()).await {
            Ok(Some(answered)) => sent += answered.unwrap(),
            Ok(None) | Err(_) => break,
        }
    }
    stop.store(true, Ordering::Relaxed);
    let taken = edge.cpu() - cpu;
    senders.join_all().await.into_iter().for_each(|answered| sent += answered);
    println!(
        "{sent} bodies of {} bytes: {taken:?} of processor time in {:?}",
        request.len(),
        started.elapsed()
    );
    // The same with a client that has a key.
    let stop = Arc::new(AtomicBool::new(false));
    let abuser = tokio::spawn({
        let (address, request, stop) = (edge.address, Arc::clone(&request), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                send(address, Arc::clone(&request)).await;
            }
        }
    });
    let crowded = latencies(&edge, &key, 202, Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    abuser.await.unwrap();
    for (what, latencies) in [("alone", &alone), ("crowded", &crowded)] {
        println!(
            "{what}: {} requests, median {:?}, p99 {:?}",
            latencies.len(),
            percentile(latencies, 50),
            percentile(latencies, 99)
        );
    }
    // A debug build takes half a second for one such body.
    assert!(taken < Duration::from_secs(4), "{taken:?}");
}
