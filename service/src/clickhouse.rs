//! Connections to ClickHouse.

use std::time::Duration;

use clickhouse::Client;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::config::Secret;

/// Where ClickHouse is, and as whom.
#[derive(Debug, Clone)]
pub struct ClickHouseConfig {
    /// `http://host:port`.
    pub url: String,
    /// The database that holds weir's tables.
    pub database: String,
    /// The user, if not the default one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than the 10 seconds after which ClickHouse closes an idle connection, so that no query meets that end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for queries. Compression is off: the bytes go over a local or private network, and both sides' CPU is
/// dearer.
///
/// Without `TCP_NODELAY`, which the crate's own connector does not set, the last packet of each insert waits some 40 ms
/// for the server's delayed acknowledgement of the one before.
#[must_use]
pub fn client(config: &ClickHouseConfig) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector);
    let mut client = Client::with_http_client(http)
        .with_url(&config.url)
        .with_database(&config.database)
        .with_compression(clickhouse::Compression::None);
    if let Some(user) = &config.user {
        client = client.with_user(user);
    }
    if let Some(password) = &config.password {
        client = client.with_password(password.expose());
    }
    client
}

/// Whether it answers at all. Without a table: whether there is one is another question.
///
/// # Errors
/// Why it does not.
pub async fn answers(client: &Client) -> Result<(), clickhouse::error::Error> {
    const QUESTION: &str = "SELECT 1";
    client.query(QUESTION).fetch_one::<u8>().await.map(|_| ())
}
