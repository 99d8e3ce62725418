//! What stops an erasure, retention or a roll-up.

use std::time::Duration;

use eventlog::LogError;

/// How long ClickHouse may take over one statement; after that it is looked at again.
pub(crate) const STATEMENT_DEADLINE: Duration = Duration::from_secs(3600);

/// Why a round stopped; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Postgres failed.
    #[error("Postgres failed")]
    Postgres(#[from] sqlx::Error),
    /// ClickHouse failed.
    #[error("ClickHouse failed")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The log failed.
    #[error("the log failed")]
    Log(#[from] LogError),
    /// ClickHouse has not answered for an hour.
    #[error("clickhouse has not answered for {} s", STATEMENT_DEADLINE.as_secs())]
    Slow,
    /// A mutation of `events` is under way and has to end first.
    #[error("ClickHouse is still changing its parts: {0}")]
    Mutating(String),
    /// Rows came while they were counted.
    #[error(
        "rows came while they were counted: {by_range} by range, {by_hour} by hour, {by_erasure} by erasure"
    )]
    Changing {
        /// Rows by range of the ledger.
        by_range: i64,
        /// Rows by hour.
        by_hour: i64,
        /// Rows by erasure.
        by_erasure: i64,
    },
}
