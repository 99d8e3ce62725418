//! What operators see of dead letters, and ask for.

use eventlog::EventLog;
use service::store::StoreError;
use sqlx::PgPool;

use crate::db::partition_cursor;

pub use crate::db::dead_letter::{Letter, PAGE_LETTERS_MAX, Which, ask_replay, discard, list, raw};

/// Lets all that is in the log now become dead letters without counting against the budget. What comes later counts.
/// By partition: the end of what is forgiven.
///
/// # Errors
/// [`StoreError`].
pub async fn resume(pool: &PgPool, log: &dyn EventLog) -> Result<Vec<u64>, StoreError> {
    let ends: Vec<u64> = log.bounds().await?.into_iter().map(|bounds| bounds.end).collect();
    partition_cursor::forgive_dead(pool, &ends).await?;
    Ok(ends)
}
