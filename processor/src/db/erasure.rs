//! `erasure`, which the crates `accounts` and `proof` write: what must not come back.

use sqlx::PgExecutor;
use sqlx::types::chrono::{DateTime, Utc};

/// An erasure of which events may still come back: out of the log, or out of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) tenant_id: i64,
    /// `None`: of all projects.
    pub(crate) project_id: Option<i64>,
    pub(crate) kind: String,
    pub(crate) salt: Option<Vec<u8>>,
    pub(crate) subject_hash: Option<Vec<u8>>,
    pub(crate) before: Option<DateTime<Utc>>,
    /// Where the log's partitions ended when it was asked for; `None`: not noted yet.
    pub(crate) ends: Option<Vec<i64>>,
}

service::from_row!(Row { tenant_id, project_id, kind, salt, subject_hash, before, ends });

/// All erasures of which events may still come back.
pub(crate) async fn in_force(executor: impl PgExecutor<'_>) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "SELECT tenant_id, project_id, kind, salt, subject_hash, before, ends
         FROM erasure WHERE subject_hash IS NOT NULL OR kind = 'retention'",
    )
    .fetch_all(executor)
    .await
}
