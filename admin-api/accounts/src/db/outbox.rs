//! Mails to be sent.

use chrono::{DateTime, Utc};
use schemas::public_id::MessageId;
use sqlx::PgConnection;

/// A mail that waits.
pub(crate) struct OutboxRow {
    pub(crate) id: MessageId,
    pub(crate) kind: String,
    pub(crate) recipient: String,
    pub(crate) sealed_body: Vec<u8>,
}

service::from_row!(OutboxRow { id: uuid, kind, recipient, sealed_body });

pub(crate) async fn insert(
    connection: &mut PgConnection,
    id: MessageId,
    kind: &str,
    recipient: &str,
    sealed_body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox (id, kind, recipient, sealed_body, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.uuid())
    .bind(kind)
    .bind(recipient)
    .bind(sealed_body)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Mails that wait, the oldest first.
pub(crate) async fn unsent(connection: &mut PgConnection, limit: i64) -> Result<Vec<OutboxRow>, sqlx::Error> {
    let query = "SELECT id, kind, recipient, sealed_body FROM outbox
         WHERE sent_at IS NULL ORDER BY created_at, id LIMIT $1";
    sqlx::query_as(query).bind(limit).fetch_all(connection).await
}

/// A mail that was sent: its link is forgotten here.
pub(crate) async fn sent(
    connection: &mut PgConnection,
    id: MessageId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE outbox SET sent_at = $2, sealed_body = '' WHERE id = $1");
    query.bind(id.uuid()).bind(now).execute(connection).await?;
    Ok(())
}
