//! How each partition stands: who processes it, how far, and whether it is halted.

use eventlog::EventLog;
use serde::Serialize;
use service::store::StoreError;
use sqlx::PgPool;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::partition_cursor::{self, Stand};

/// How a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Its number.
    pub partition: u32,
    /// The processor that owns it, while its lease runs.
    pub owner: Option<Uuid>,
    /// Everything before it is stored and metered.
    pub next_offset: u64,
    /// Records that wait to be processed; `None`: the log does not say where it ends.
    pub lag: Option<u64>,
    /// How often the owner changed.
    pub epoch: i64,
    /// Why nobody processes it.
    pub halted_reason: Option<String>,
    /// Since when.
    pub halted_at: Option<DateTime<Utc>>,
}

/// How a resumption ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// Processors take it within seconds. If what halted it is still there, they halt it again.
    Yes,
    /// It was not halted.
    WasNotHalted,
    /// There is no such partition.
    Unknown,
}

/// All partitions, in their order; without their lag if the log can't be asked.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool, log: Option<&dyn EventLog>) -> Result<Vec<Standing>, StoreError> {
    let mut all = Vec::new();
    for stand in partition_cursor::all(pool).await? {
        let Stand { partition, next_offset, epoch, owner, halted_reason, halted_at } = stand;
        let (partition, next_offset) = (partition.unsigned_abs(), next_offset.unsigned_abs());
        // One that can't be reached hides no other.
        let bounds = match log {
            Some(log) => log.bounds_of(partition).await.ok(),
            None => None,
        };
        let lag = bounds.map(|bounds| bounds.end.saturating_sub(next_offset));
        all.push(Standing { partition, owner, next_offset, lag, epoch, halted_reason, halted_at });
    }
    Ok(all)
}

/// Lets processors take a partition again that was halted.
///
/// # Errors
/// If Postgres fails.
pub async fn resume(pool: &PgPool, partition: u32) -> Result<Resumed, StoreError> {
    Ok(match partition_cursor::resume(pool, partition).await? {
        Some(true) => Resumed::Yes,
        Some(false) => Resumed::WasNotHalted,
        None => Resumed::Unknown,
    })
}
