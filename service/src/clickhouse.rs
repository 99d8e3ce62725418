//! Connections to ClickHouse.

mod silence;

use std::time::Duration;

use clickhouse::Client;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::config::Secret;
use silence::Connector;

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

/// How long ClickHouse may take over a query, which ClickHouse itself keeps to, and how long nothing at all may come
/// from it, which ends a query that it has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Of a query, `max_execution_time`.
    pub query: Duration,
    /// Of a connection on which an answer is waited for.
    pub silence: Duration,
}

impl Patience {
    /// Somebody waits for the answer.
    pub const SERVING: Self = Self { query: Duration::from_secs(30), silence: Duration::from_secs(40) };
    /// Events wait. Ids are read back in one long answer; inserts have a deadline of their own.
    pub const PROCESSING: Self = Self { query: Duration::from_hours(1), silence: Duration::from_mins(2) };
    /// Nobody waits, and a query may go over all rows before its first answer comes.
    pub const PROVING: Self = Self { query: Duration::from_hours(1), silence: Duration::from_mins(62) };
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than the 10 seconds after which ClickHouse closes an idle connection, so that no query meets that end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// A machine that is gone is noticed within a minute: after how long without a byte it is asked, how often, and how
/// many times.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// A client for what nobody waits for: commands, proofs, migrations. See [`client_with`].
#[must_use]
pub fn client(config: &ClickHouseConfig) -> Client {
    client_with(config, Patience::PROVING)
}

/// A client for queries. Compression is off: the bytes go over a local or private network, and both sides' CPU is
/// dearer.
///
/// Without `TCP_NODELAY`, which the crate's own connector does not set, the last packet of each insert waits some 40 ms
/// for the server's delayed acknowledgement of the one before.
#[must_use]
pub fn client_with(config: &ClickHouseConfig, patience: Patience) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    let connector = Connector::new(connector, patience.silence);
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector);
    let mut client = Client::with_http_client(http)
        .with_url(&config.url)
        .with_database(&config.database)
        .with_compression(clickhouse::Compression::None)
        .with_setting("max_execution_time", patience.query.as_secs().to_string());
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::store::StoreError;

    #[tokio::test]
    async fn a_query_that_is_never_answered_ends_and_may_be_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Takes every byte and says nothing, as a server that was stopped.
        let silent = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                all.push(stream);
            }
        });
        let config = ClickHouseConfig { url, database: "weir".to_owned(), user: None, password: None };
        let patience = Patience { query: Duration::from_secs(1), silence: Duration::from_millis(200) };
        let client = client_with(&config, patience);
        let error =
            tokio::time::timeout(Duration::from_secs(10), answers(&client)).await.unwrap().unwrap_err();
        assert!(StoreError::from(error).is_away());
        silent.abort();
    }
}
