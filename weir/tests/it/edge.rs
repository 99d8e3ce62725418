//! The HTTP edge of a real node, over raw sockets: what each client gets that is slow, wrong or hostile, and that
//! others are served after it as before.

mod raw;
mod http1;
mod http2;
mod slow;
mod drain;
mod tls;
mod tenants;
mod keyless;

use std::net::SocketAddr;
use std::time::Duration;

use testkit::{Client, eventually};

use crate::process::{Place, Process};
use raw::Raw;

/// A node with a key, whose deadlines are short.
pub(crate) struct Edge {
    place: Place,
    process: Option<Process>,
    key: String,
    address: SocketAddr,
    descriptors: usize,
}

/// Deadlines of a request's header and body, and so on, in these tests.
const DEADLINE: Duration = Duration::from_millis(1_000);
/// Connections to stores that a node may open after its first request.
const STORES: usize = 12;
/// Until a deadline has been kept, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

impl Edge {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let mut edge = Self::start_unasked(settings).await;
        edge.assert_serves().await;
        edge.descriptors = edge.process().descriptors();
        edge
    }

    /// One whose listener was not tried yet.
    async fn start_unasked(settings: &[(&str, &str)]) -> Self {
        Self::start_as("standalone", settings).await
    }

    async fn start_as(role: &str, settings: &[(&str, &str)]) -> Self {
        let mut place = Place::new(None).await;
        for name in ["WEIR_REQUEST_DEADLINE_MS", "WEIR_IDLE_DEADLINE_MS", "WEIR_WRITE_DEADLINE_MS"] {
            place.set(name, &DEADLINE.as_millis().to_string());
        }
        for (name, value) in settings {
            place.set(name, value);
        }
        place.run(&["migrate"]).await;
        place.run(&["tenant", "create", "acme", "--plan", "unlimited"]).await;
        let key = place.run_json(&["key", "create", "acme"]).await["key"].as_str().unwrap().to_owned();
        let process = place.start(role).await;
        let address = process.url.rsplit('/').next().unwrap().parse().unwrap();
        Self { place, process: Some(process), key, address, descriptors: 0 }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// SIGTERM, and a new process at the same address as soon as the old one has ended.
    async fn restart(&mut self) {
        let mut process = self.process.take().unwrap();
        assert!(process.terminate().await.success());
        self.process = Some(self.place.start_again(process).await);
    }

    /// A connection of which nothing is known yet.
    async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// A request with an event in it, and more lines in its header.
    fn request(&self, lines: &str) -> String {
        const EVENT: &str = r#"{"event":"x"}"#;
        let Self { key, .. } = self;
        format!(
            "POST /v1/events HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {key}\r\n{lines}Content-Length: \
             {}\r\n\r\n{EVENT}",
            EVENT.len()
        )
    }

    /// The head of a request with these lines, and nothing behind it.
    fn head(&self, lines: &str) -> String {
        format!("POST /v1/events HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {}\r\n{lines}\r\n", self.key)
    }

    /// Another client is served, on a connection of its own.
    async fn assert_serves(&self) {
        let client = Client::new(self.address, Some(&self.key));
        assert_eq!(client.post_ids(["served"]).await.status, 202);
    }

    /// Others are served, and nothing is left of those who have gone.
    async fn assert_as_before(&self) {
        self.assert_serves().await;
        // The last client of this test may not have closed its connection yet, and stores have some of their own.
        eventually("connections are given back", SOON, async || {
            self.metric("weir_http_connections{listener=\"ingest\"}").await <= 1.0
        })
        .await;
        let descriptors = self.process().descriptors();
        assert!(descriptors <= self.descriptors + STORES, "{descriptors}, where {} were", self.descriptors);
    }

    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.process().metrics().await;
        let values = metrics.lines().filter(|line| line.starts_with(name));
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}
