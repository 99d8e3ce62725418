//! Connections to ClickHouse.

use clickhouse::Client;

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

/// A client for queries. Compression is off: the bytes go over a local or private network, and both sides' CPU is
/// dearer.
#[must_use]
pub fn client(config: &ClickHouseConfig) -> Client {
    let mut client = Client::default()
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
