//! What stops an erasure.

use eventlog::LogError;
use service::store::StoreError;

/// Why a round stopped; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
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
    /// Postgres, ClickHouse or the log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for EraseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<clickhouse::error::Error> for EraseError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<LogError> for EraseError {
    fn from(error: LogError) -> Self {
        Self::Store(error.into())
    }
}
