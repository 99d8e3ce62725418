//! Entries of all chains, as operators look for them.

use chrono::{DateTime, Utc};
use schemas::id::TenantId;
use sqlx::PgConnection;

use super::entry::{Entry, Filter};

/// Entries of all chains, or of that tenant's, before that time, chain and number, the newest first.
pub(crate) async fn search(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &Filter,
    before: Option<(DateTime<Utc>, i64, i64)>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as(
        "SELECT chain, seq, id, at, actor, action, target, before, after, address, request_id, hash FROM audit_entry
         WHERE ($1::bigint IS NULL OR chain = $1) AND ($2::text IS NULL OR actor = $2)
           AND ($3::text IS NULL OR action = $3 OR ($3 LIKE '%.*' AND starts_with(action, left($3, -1))))
           AND ($4::text IS NULL OR target = $4)
           AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
           AND ($7::timestamptz IS NULL OR (at, chain, seq) < ($7, $8, $9))
         ORDER BY at DESC, chain DESC, seq DESC LIMIT $10",
    )
    .bind(tenant.map(|tenant| tenant.0))
    .bind(&filter.actor)
    .bind(&filter.action)
    .bind(&filter.target)
    .bind(filter.from)
    .bind(filter.to)
    .bind(before.map(|before| before.0))
    .bind(before.map(|before| before.1))
    .bind(before.map(|before| before.2))
    .bind(limit)
    .fetch_all(connection)
    .await
}
