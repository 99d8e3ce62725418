//! SIGTERM under load: a rolling restart of two nodes that no client notices who honours `Connection: close`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Edge;
use super::raw::Raw;

/// What clients have seen.
#[derive(Default)]
struct Seen {
    accepted: AtomicU64,
    /// Replies that said that they were the last of their connections.
    last: AtomicU64,
    /// Attempts to connect that were refused: nothing was sent.
    refused: AtomicU64,
    /// Requests that were sent, and no reply came.
    unknown: AtomicU64,
    other: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    fn add(&self, count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// A client of HTTP/1.1. It stays on its connection as long as it may, or makes one for each request, and waits between
/// requests.
async fn http1(seen: Arc<Seen>, address: SocketAddr, request: String, stays: bool, pause: Duration) {
    let mut connection: Option<Raw> = None;
    while seen.goes_on() {
        let mut raw = match connection.take() {
            Some(raw) => raw,
            None => match TcpStream::connect(address).await {
                Ok(stream) => Raw::on(stream),
                Err(_) => {
                    seen.add(&seen.refused);
                    // As a client that finds nobody waits.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        raw.send(&request).await;
        let Some(reply) = raw.reply().await else {
            seen.add(&seen.unknown);
            continue;
        };
        seen.add(if reply.status == 202 { &seen.accepted } else { &seen.other });
        if reply.says_close() {
            seen.add(&seen.last);
        } else if stays {
            connection = Some(raw);
        }
        // The client's pause between two requests.
        tokio::time::sleep(pause).await;
    }
}

/// A client of HTTP/2 that sends several requests at once.
async fn http2(seen: Arc<Seen>, address: SocketAddr, key: String) {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    while seen.goes_on() {
        let request = Request::post(format!("http://{address}/v1/events"))
            .header("authorization", format!("Bearer {key}"))
            .body(Full::from(r#"{"event":"x"}"#));
        match client.request(request.unwrap()).await {
            Ok(reply) => seen.add(if reply.status() == 202 { &seen.accepted } else { &seen.other }),
            Err(error) if error.is_connect() => {
                seen.add(&seen.refused);
                // As a client that finds nobody waits.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => seen.add(&seen.unknown),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_rolling_restart_under_load_leaves_no_client_with_an_unknown_outcome() {
    const ROUNDS: usize = 3;
    let settings = [
        ("WEIR_DRAIN_GRACE_MS", "1500"),
        ("WEIR_REQUEST_DEADLINE_MS", "8000"),
        ("WEIR_IDLE_DEADLINE_MS", "60000"),
    ];
    let mut edges = vec![Edge::start(&settings).await, Edge::start(&settings).await];
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for edge in &edges {
        let (address, request) = (edge.address, edge.request(""));
        for number in 0..24 {
            // Some send as fast as they can, some now and then, some on a new connection each time.
            let (stays, pause) = [(true, 0), (true, 3), (true, 700), (false, 2)][number % 4];
            let pause = Duration::from_millis(pause);
            clients.spawn(http1(Arc::clone(&seen), address, request.clone(), stays, pause));
        }
        for _ in 0..4 {
            clients.spawn(http2(Arc::clone(&seen), address, edge.key.clone()));
        }
    }
    for _ in 0..ROUNDS {
        for edge in &mut edges {
            // Between two restarts clients have their usual traffic.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let started = Instant::now();
            edge.restart().await;
            assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        }
    }
    seen.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let counts =
        [&seen.accepted, &seen.last, &seen.refused, &seen.unknown, &seen.other].map(|count| seen.get(count));
    let [accepted, last, refused, unknown, other] = counts;
    println!(
        "accepted {accepted}, last of a connection {last}, refused to connect {refused}, unknown {unknown}, \
         other {other}"
    );
    assert_eq!((unknown, other), (0, 0));
    assert!(accepted > 500 && last > 20 && refused > 0, "{counts:?}");
    for edge in &edges {
        edge.assert_serves().await;
    }
}
