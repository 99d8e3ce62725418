//! `evidence_key`: with which hours were sealed.

use evidence::PublicKey;
use sqlx::PgExecutor;

/// Makes the key known.
pub(crate) async fn note(executor: impl PgExecutor<'_>, key: PublicKey) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO evidence_key (id, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(key.id().to_string())
        .bind(key.0)
        .execute(executor)
        .await?;
    Ok(())
}

/// All keys, the oldest first.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<PublicKey>, sqlx::Error> {
    let rows: Vec<[u8; 32]> = sqlx::query_scalar("SELECT public_key FROM evidence_key ORDER BY since, id")
        .fetch_all(executor)
        .await?;
    Ok(rows.into_iter().map(PublicKey).collect())
}
