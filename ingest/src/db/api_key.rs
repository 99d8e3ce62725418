//! `api_key`: whose events a key brings. Ingest writes nothing of it except when a key was last used.

use sqlx::{PgConnection, PgExecutor};

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) id: i64,
    pub(crate) tenant_id: i64,
    pub(crate) project_id: i64,
    pub(crate) hash: Vec<u8>,
    /// Microseconds since 1970.
    pub(crate) expires_at: Option<i64>,
    pub(crate) revoked: bool,
    pub(crate) change: i64,
}

service::from_row!(KeyRow { id, tenant_id, project_id, hash, expires_at, revoked, change });

/// A page of keys, in the order of their changes, from behind the change `after`.
pub(crate) async fn newer(
    tx: &mut PgConnection,
    after: i64,
    rows_max: i64,
) -> Result<Vec<KeyRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, tenant_id, project_id, hash, (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_at,
                revoked_at IS NOT NULL AS revoked, change
         FROM api_key WHERE change > $1 ORDER BY change LIMIT $2",
    )
    .bind(after)
    .bind(rows_max)
    .fetch_all(tx)
    .await
}

/// Notes that keys were used now. Keys that another node notes at this moment are left to it; and what was noted a
/// moment ago is not noted again.
pub(crate) async fn note_used(executor: impl PgExecutor<'_>, keys: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE api_key SET last_used_at = now() WHERE id IN (
             SELECT id FROM api_key
             WHERE id = ANY($1) AND (last_used_at IS NULL OR last_used_at < now() - interval '15 seconds')
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(keys)
    .execute(executor)
    .await?;
    Ok(())
}
