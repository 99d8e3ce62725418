//! Where chains stood on a day. The API's role adds anchors and can change none: so what it could do to entries and
//! heads, which it writes, is seen.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Chain;

/// Notes where every chain stands that has grown since its last anchor. How many.
pub(crate) async fn anchor(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let anchored = sqlx::query(
        "INSERT INTO audit_anchor (chain, tenant_id, seq, hash, at)
         SELECT chain, tenant_id, seq, hash, $1 FROM audit_head WHERE seq > 0
         ON CONFLICT (chain, seq) DO NOTHING",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(anchored.rows_affected())
}

/// The number of the last entry that is anchored; 0: none.
pub(crate) async fn last(connection: &mut PgConnection, chain: Chain) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit_anchor WHERE chain = $1")
        .bind(chain.number())
        .fetch_one(connection)
        .await
}

/// Numbers and hashes that are anchored, after one number and up to another.
pub(crate) async fn within(
    connection: &mut PgConnection,
    chain: Chain,
    after: i64,
    up_to: i64,
) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT seq, hash FROM audit_anchor WHERE chain = $1 AND seq > $2 AND seq <= $3 ORDER BY seq",
    )
    .bind(chain.number())
    .bind(after)
    .bind(up_to)
    .fetch_all(connection)
    .await
}
