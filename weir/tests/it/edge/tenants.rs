//! What one tenant takes from the others: budgets, and how long a refusal and a neighbour wait.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Edge;
use super::keyless::send;
use super::raw::{End, Raw};

/// As the default, for a node of 40 MB.
const BUDGET: [(&str, &str); 3] = [
    ("WEIR_IN_FLIGHT_BYTES_MAX", "41943040"),
    ("WEIR_TENANT_IN_FLIGHT_BYTES_MAX", "20971520"),
    ("WEIR_REQUEST_DEADLINE_MS", "8000"),
];

impl Edge {
    /// Another tenant's key.
    pub(super) async fn tenant(&self, name: &str) -> String {
        self.place.run(&["tenant", "create", name, "--plan", "unlimited"]).await;
        let key = self.place.run_json(&["key", "create", name]).await["key"].as_str().unwrap().to_owned();
        let client = testkit::Client::new(self.address, Some(&key));
        testkit::eventually("the key is known", super::SOON, async || {
            client.post_ids(["first"]).await.status == 202
        })
        .await;
        key
    }

    /// A request of which the body does not come, and which holds its place all the same.
    async fn hold(&self, key: &str, bytes: usize) -> Raw {
        let mut raw = self.connect().await;
        raw.send(self.head(&format!("Content-Length: {bytes}\r\n")).replace(&self.key, key)).await;
        raw
    }
}

/// Latencies of a client that sends one small request after the other.
pub(super) async fn latencies(edge: &Edge, key: &str, status: u16, lasting: Duration) -> Vec<Duration> {
    let request = edge.request("").replace(&edge.key, key);
    let (mut raw, until) = (edge.connect().await, Instant::now() + lasting);
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        raw.send(&request).await;
        let seen = raw.reply().await.unwrap();
        latencies.push(started.elapsed());
        assert_eq!((seen.status, seen.says_close()), (status, false), "{seen:?}");
        if status == 503 {
            assert!((1..=5).contains(&seen.headers["retry-after"].parse::<u32>().unwrap()), "{seen:?}");
        }
    }
    latencies.sort_unstable();
    latencies
}

pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_at_its_share_gets_429_and_a_full_node_says_503_at_once() {
    let edge = Edge::start(&BUDGET).await;
    let (greedy, other) = (edge.tenant("greedy").await, edge.tenant("other").await);
    let ten_mebibytes = 10 << 20;
    let mut held = vec![edge.hold(&greedy, ten_mebibytes).await, edge.hold(&greedy, ten_mebibytes).await];
    testkit::eventually("the share is taken", super::SOON, async || {
        edge.metric("weir_ingest_in_flight_bytes").await >= 20e6
    })
    .await;
    let mut raw = edge.connect().await;
    raw.send(edge.request("").replace(&edge.key, &greedy)).await;
    let seen = raw.reply().await.unwrap();
    assert_eq!(
        (seen.status, seen.code().as_str(), seen.says_close()),
        (429, "rate_limited", false),
        "{seen:?}"
    );
    assert!(seen.headers.contains_key("retry-after"));
    edge.assert_serves().await;

    held.push(edge.hold(&other, ten_mebibytes).await);
    held.push(edge.hold(&other, ten_mebibytes).await);
    testkit::eventually("the node is full", super::SOON, async || {
        edge.metric("weir_ingest_in_flight_bytes").await >= 40e6
    })
    .await;
    let refused = latencies(&edge, &edge.key, 503, Duration::from_secs(2)).await;
    let (median, p99) = (percentile(&refused, 50), percentile(&refused, 99));
    println!("{} refusals of a full node: median {median:?}, p99 {p99:?}", refused.len());
    // Under a millisecond with optimisation on an idle machine; tests run without, next to others.
    assert!(median < Duration::from_millis(2) && p99 < Duration::from_millis(20), "{median:?} {p99:?}");
    // A large one is refused without a byte of its body, and what comes of it is not taken for a request.
    let mut large = edge.hold(&edge.key, ten_mebibytes).await;
    let seen = large.reply().await.unwrap();
    assert_eq!((seen.status, seen.says_close()), (503, true), "{seen:?}");
    large.send(edge.request("").repeat(1_000)).await;
    assert_eq!((large.end(super::SOON).await.0, large.rest()), (End::Closed, &b""[..]));
    drop((held, large));
    edge.assert_as_before().await;
    assert!(edge.metric("weir_ingest_in_flight_bytes").await < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_of_a_tenant_end_at_its_share_and_cost_no_more_memory() {
    let edge = Edge::start(&BUDGET).await;
    let greedy = edge.tenant("greedy").await;
    // 30 MB of spaces, and no event: beyond the share if there are two of them.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &vec![b' '; 30 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    let head = edge.head(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len()));
    let bomb = Arc::new([head.replace(&edge.key, &greedy).as_bytes(), &bomb].concat());
    let resident = edge.process().resident_bytes();
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        let (address, bomb) = (edge.address, Arc::clone(&bomb));
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for _ in 0..3 {
                statuses.push(send(address, Arc::clone(&bomb)).await);
            }
            statuses
        });
    }
    let mut most = 0;
    let mut statuses = Vec::new();
    while !clients.is_empty() {
        tokio::select! {
            Some(ended) = clients.join_next() => statuses.extend(ended.unwrap()),
            // Between two looks at the memory.
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        most = most.max(edge.process().resident_bytes());
        edge.assert_serves().await;
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert!(statuses.iter().all(|status| [400, 429, 503].contains(status)), "{statuses:?}");
    let grown = most.saturating_sub(resident);
    // The node's budget is 40 MB; a buffer that grows is there twice, and the allocator keeps some for each thread.
    assert!(grown < 192 << 20, "{grown} bytes, where 32 bombs have a gigabyte");
    edge.assert_as_before().await;
}

/// A batch of nearly 10 MiB, as large as one may be.
fn largest_batch() -> String {
    let mut batch = "[".to_owned();
    for number in 0..9_000 {
        let comma = if number > 0 { "," } else { "" };
        write!(
            batch,
            r#"{comma}{{"event":"page","properties":{{"n":{number},"text":"{}"}}}}"#,
            "x".repeat(1_080)
        )
        .unwrap();
    }
    batch + "]"
}

/// What an abusive client got.
#[derive(Default)]
struct Taken {
    accepted: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// Sends the largest batches as fast as it can, and does not wait when a reply says so.
async fn abuse(address: std::net::SocketAddr, request: Arc<String>, taken: Arc<Taken>) {
    while !taken.stop.load(Ordering::Relaxed) {
        let mut raw = Raw::connect(address).await;
        loop {
            raw.send(request.as_bytes()).await;
            let Some(seen) = raw.reply().await else { break };
            let count = if seen.status == 202 { &taken.accepted } else { &taken.refused };
            count.fetch_add(1, Ordering::Relaxed);
            if seen.says_close() || taken.stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_sends_as_much_as_it_can_leaves_others_served() {
    let lasting = Duration::from_secs(5);
    let settings = [("WEIR_REQUEST_DEADLINE_MS", "8000"), ("WEIR_IDLE_DEADLINE_MS", "60000")];
    let edge = Edge::start_as("ingest", &settings).await;
    let greedy = edge.tenant("greedy").await;
    let before = latencies(&edge, &edge.key, 202, lasting).await;
    let batch = largest_batch();
    let head = edge.head(&format!("Content-Length: {}\r\n", batch.len())).replace(&edge.key, &greedy);
    let (request, taken) = (Arc::new(head + &batch), Arc::new(Taken::default()));
    let mut abusers = JoinSet::new();
    for _ in 0..64 {
        abusers.spawn(abuse(edge.address, Arc::clone(&request), Arc::clone(&taken)));
    }
    testkit::eventually("the abuse is on", Duration::from_secs(20), async || {
        taken.accepted.load(Ordering::Relaxed) + taken.refused.load(Ordering::Relaxed) > 0
    })
    .await;
    let crowded = latencies(&edge, &edge.key, 202, lasting).await;
    taken.stop.store(true, Ordering::Relaxed);
    abusers.shutdown().await;
    let figures = |latencies: &[Duration]| {
        let [median, p99, max] = [50, 99, 100].map(|percent| percentile(latencies, percent));
        format!("{} requests, median {median:?}, p99 {p99:?}, longest {max:?}", latencies.len())
    };
    println!("alone: {}\nnext to 64 x 10 MB: {}", figures(&before), figures(&crowded));
    let [accepted, refused] = [&taken.accepted, &taken.refused].map(|count| count.load(Ordering::Relaxed));
    println!("the other tenant: {accepted} batches accepted, {refused} refused");
    assert!(accepted > 0);
    // In a debug build on a machine that may have more to do: no figure, but no starving.
    assert!(percentile(&crowded, 99) < Duration::from_secs(1), "{}", figures(&crowded));
}
