//! `partition_cursor` and `processor_node`, which the processor writes.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A partition as Postgres has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CursorRow {
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) epoch: i64,
    pub(crate) owner: Option<Uuid>,
    /// `None` where no lease runs.
    pub(crate) lease_until: Option<DateTime<Utc>>,
    pub(crate) halted_reason: Option<String>,
    pub(crate) halted_at: Option<DateTime<Utc>>,
}

service::from_row!(CursorRow { partition, next_offset, epoch, owner, lease_until, halted_reason, halted_at });

/// All partitions, in their order.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<CursorRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT partition, next_offset, epoch, owner, halted_reason, halted_at,
                CASE WHEN lease_until > now() AND owner IS NOT NULL THEN lease_until END AS lease_until
         FROM partition_cursor ORDER BY partition",
    )
    .fetch_all(executor)
    .await
}

/// The processors that live, by their ids.
pub(crate) async fn processors(
    executor: impl PgExecutor<'_>,
) -> Result<Vec<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    sqlx::query_as("SELECT id, lease_until FROM processor_node WHERE lease_until > now() ORDER BY id")
        .fetch_all(executor)
        .await
}
