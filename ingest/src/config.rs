//! Settings of ingest.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evidence::SigningKey;
use service::client_address::TrustedProxies;
use service::config::{Secret, Settings};
use service::http::HttpLimits;
use service::tls::TlsFiles;

/// How an ingest node works. [`IngestConfig::read`] has the defaults.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How connections are held.
    pub connections: ConnectionsConfig,
    /// Whose word counts on where a client is.
    pub trusted_proxies: TrustedProxies,
    /// Bytes of a body as sent.
    pub body_bytes_max: usize,
    /// Bytes of a body after decompression.
    pub inflated_bytes_max: usize,
    /// Bytes of all bodies that are being worked on.
    pub in_flight_bytes_max: usize,
    /// Bytes of one tenant's bodies that are being worked on.
    pub tenant_in_flight_bytes_max: usize,
    /// From a request's header to its reply. SDKs give up after ten seconds.
    pub request_deadline: Duration,
    /// For how long the node may spend quota after its last word with Postgres.
    pub lease_time: Duration,
    /// How far the clock may be from Postgres's before the node takes no more events.
    pub clock_skew_max: Duration,
    /// Failed requests a second of one address, as long as it is not known who sends them; 0: no limit.
    pub address_rate: u32,
    /// Where the copy of keys and tenants is; `None`: there is none. It stands in the data folder, which others
    /// know.
    pub directory_file: Option<PathBuf>,
    /// Where nodes share tenants' rates; `None`: this node is the only one.
    pub redis_url: Option<Secret>,
    /// Where a client whose quota is used up is sent; stands in the problem document.
    pub upgrade_url: Option<String>,
    /// What receipts are signed with; `None`: there are none. [`IngestConfig::read`] does not read it, since it is not
    /// ingest's alone.
    pub evidence_key: Option<Arc<SigningKey>>,
}

/// How connections are held, whatever comes on them.
#[derive(Debug, Clone)]
pub struct ConnectionsConfig {
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Open connections; one more waits.
    pub connections_max: usize,
    /// From a reply to the next request on its connection.
    pub idle_deadline: Duration,
    /// From a reply's first byte to its last.
    pub write_deadline: Duration,
    /// From the order to stop to the end of connections that are silent.
    pub drain_grace: Duration,
    /// From the order to stop to the last reply.
    pub drain_deadline: Duration,
}

impl ConnectionsConfig {
    fn read(settings: &mut Settings) -> Self {
        Self {
            tls: TlsFiles::read(settings, "WEIR_TLS_CERT", "WEIR_TLS_KEY"),
            connections_max: settings.number(
                "WEIR_CONNECTIONS_MAX",
                20_000,
                1..=1_000_000,
                "connections that are open at once",
            ),
            idle_deadline: settings.millis(
                "WEIR_IDLE_DEADLINE_MS",
                Duration::from_secs(75),
                "milliseconds that a connection stays open without a request; above what a load balancer before it has",
            ),
            write_deadline: settings.millis(
                "WEIR_WRITE_DEADLINE_MS",
                Duration::from_secs(30),
                "milliseconds that a client has to read its reply",
            ),
            drain_grace: Duration::from_millis(settings.number(
                "WEIR_DRAIN_GRACE_MS",
                5_000,
                0..=14_000,
                "milliseconds after SIGTERM in which silent connections stay open, so that their next reply \
                 can end them",
            )),
            drain_deadline: Duration::from_millis(settings.number(
                "WEIR_DRAIN_DEADLINE_MS",
                10_000,
                100..=14_000,
                "milliseconds that requests in flight have to end after SIGTERM",
            )),
        }
    }

    /// The same as the listener wants it.
    #[must_use]
    pub fn limits(&self, request_deadline: Duration) -> HttpLimits {
        HttpLimits {
            name: "ingest",
            connections_max: self.connections_max,
            header_deadline: request_deadline,
            idle_deadline: self.idle_deadline,
            write_deadline: self.write_deadline,
            drain_grace: self.drain_grace,
            drain_deadline: self.drain_deadline,
        }
    }
}

/// Reclaiming a dead node's quota counts on it that an append ends within ten seconds of its beginning
/// (`metering::reclaim`); and SDKs give up after ten.
const REQUEST_DEADLINE_MS_MAX: u64 = 9_000;

impl IngestConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let in_flight_bytes_max = settings.number(
            "WEIR_IN_FLIGHT_BYTES_MAX",
            256 << 20,
            1 << 20..=64 << 30,
            "bytes of all request bodies, as sent and decompressed, that are being worked on",
        );
        Self {
            listen: settings.get(
                "WEIR_INGEST_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 7400)),
                "address and port on which events are received",
            ),
            connections: ConnectionsConfig::read(settings),
            trusted_proxies: TrustedProxies::of(settings),
            body_bytes_max: settings.number(
                "WEIR_BODY_BYTES_MAX",
                10 << 20,
                1 << 10..=256 << 20,
                "bytes of a request body as sent",
            ),
            inflated_bytes_max: settings.number(
                "WEIR_INFLATED_BYTES_MAX",
                32 << 20,
                1 << 10..=1 << 30,
                "bytes of a request body after decompression",
            ),
            in_flight_bytes_max,
            tenant_in_flight_bytes_max: settings.number(
                "WEIR_TENANT_IN_FLIGHT_BYTES_MAX",
                in_flight_bytes_max / 4,
                1 << 10..=64 << 30,
                "of these, bytes of one tenant, unless it is a single request",
            ),
            request_deadline: Duration::from_millis(settings.number(
                "WEIR_REQUEST_DEADLINE_MS",
                8_000,
                100..=REQUEST_DEADLINE_MS_MAX,
                "milliseconds from a request's header to its reply",
            )),
            lease_time: settings.millis(
                "WEIR_INGEST_LEASE_MS",
                Duration::from_secs(15),
                "milliseconds that a node may spend leased quota after it last reached Postgres",
            ),
            clock_skew_max: Duration::from_millis(settings.number(
                "WEIR_CLOCK_SKEW_MAX_MS",
                5_000,
                100..=3_600_000,
                "milliseconds that a node's clock may differ from Postgres's; beyond them 503",
            )),
            address_rate: settings.number(
                "WEIR_ADDRESS_RATE",
                100,
                0..=1_000_000,
                "requests a second without a good key that one address may send, each with 64 KiB of plain \
                 body or a millisecond of work: larger ones count as several; 0: no limit",
            ),
            directory_file: None,
            redis_url: settings.optional_secret(
                "REDIS_URL",
                "redis://[user:password@]host:port, where ingest nodes share tenants' rates; if it is not \
                 set, each node has all of them",
            ),
            evidence_key: None,
            upgrade_url: settings
                .optional("WEIR_UPGRADE_URL", "where customers raise their quota; stands in 402 replies"),
        }
    }
}
